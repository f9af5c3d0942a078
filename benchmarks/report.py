"""The table of results: medians, ratios, and whether the targets are reached."""

import os
import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rows import ROWS, Row


__all__ = ["facts", "load", "markdown", "medians", "table", "verdict"]

Samples = Mapping[str, Mapping[str, Sequence[float]]]  # row, engine, figures
Medians = dict[str, dict[str, float]]

FIRST, REFERENCE = "palan", "dockerd"


def medians(samples: Samples) -> Medians:
    """Return the median of each row for each engine that has figures of it."""
    return {
        row: {name: statistics.median(figures) for name, figures in found.items() if figures}
        for row, found in samples.items()
    }


def facts() -> dict[str, str]:
    """Return the facts that the figures depend on: date, machine, system, versions."""
    system = "unknown"
    for line in Path("/etc/os-release").read_text().splitlines():
        if line.startswith("PRETTY_NAME="):
            system = line.partition("=")[2].strip('"')
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)
    controllers = "v2" if Path("/sys/fs/cgroup/cgroup.controllers").exists() else "v1 or hybrid"
    kernel = platform.release().partition("-")[0]
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": f"{os.cpu_count()} CPUs, {memory:.0f} GiB, {platform.machine()}",
        "system": f"{system}, Linux {kernel}, cgroup {controllers}",
        "python": platform.python_version(),
        "load": load(),
    }


def load() -> str:
    """Return the load average of the last minute."""
    return f"{os.getloadavg()[0]:.1f}"


def verdict(row: Row, found: Mapping[str, float]) -> bool | None:
    """Return whether the target is reached; None without a target or without figures."""
    if row.target is None or FIRST not in found:
        return None
    if row.target.ratio and REFERENCE not in found:
        return None
    return row.target.reached(found[FIRST], found.get(REFERENCE, 0.0))


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _lines(found: Medians, engines: Sequence[str]) -> list[list[str]]:
    others = [name for name in engines if name != FIRST]
    lines = [["row", "unit", *engines, *(f"{FIRST}/{name}" for name in others), "target", ""]]
    for name, row in ROWS.items():
        if name not in found:
            continue
        figures = found[name]
        ratios = [
            f"{figures[FIRST] / figures[other]:.2f}"
            if FIRST in figures and figures.get(other)
            else "-"
            for other in others
        ]
        reached = verdict(row, figures)
        lines.append(
            [
                name,
                row.unit,
                *(_number(figures.get(engine)) for engine in engines),
                *ratios,
                row.target.text(row.unit) if row.target else "",
                {True: "reached", False: "NOT REACHED", None: ""}[reached],
            ]
        )
    return lines


def table(found: Medians, engines: Sequence[str]) -> str:
    """Return the table for a terminal."""
    lines = _lines(found, engines)
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < 2 or column > 2 * len(engines) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def markdown(found: Medians, versions: Mapping[str, str], about: Mapping[str, Any]) -> str:
    """Return a Markdown page with the table."""
    engines = list(versions)
    lines = _lines(found, engines)
    lines[0].insert(1, "what")
    for line in lines[1:]:
        line.insert(1, ROWS[line[0]].what)
    align = ["---", "---", "---", *["---:"] * (2 * len(engines) - 1), "---", "---"]
    missed = [name for name, row in ROWS.items() if verdict(row, found.get(name, {})) is False]
    targets = sum(verdict(row, found.get(name, {})) is not None for name, row in ROWS.items())
    head = [
        "# Palan beside dockerd and podman",
        "",
        "Written by `compare.py`; `README.md` says what is measured and how. Figures are",
        "medians, ratios are of medians: below 1 Palan is faster (for MiB/s: above 1).",
        "",
        *(f"* {name}: {value}" for name, value in about.items()),
        *(f"* {name}: {version}" for name, version in versions.items()),
        "",
        f"{targets - len(missed)} of {targets} targets reached"
        + (f"; not {', '.join(missed)}." if missed else "."),
        "",
    ]
    cells = [lines[0], align, *lines[1:]]
    return "\n".join([*head, *("| " + " | ".join(line) + " |" for line in cells), ""])
