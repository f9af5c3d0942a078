#!/usr/bin/env python3
"""Compare Palan with dockerd and podman on this machine.

Starts each engine separately, takes every measurement on each of them in alternating rounds,
prints medians, ratios and the targets that are reached, and removes everything.
Needs root, Debian's docker.io, containerd, runc, podman, conmon and busybox-static, and an
interpreter that has Palan.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import report
from engines import Dockerd, Engine, Palan, Podman
from measurements import MEASUREMENTS, Measurement, Subject
from registry import RegistryHost


ENGINES: tuple[type[Engine], ...] = (Palan, Dockerd, Podman)
SETTLE = 0.15  # seconds between samples, so that the work after one does not slow the next

Samples = dict[str, dict[str, list[float]]]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument(
        "--engines",
        default="palan,dockerd,podman",
        help="names separated by commas (default: %(default)s)",
    )
    parser.add_argument("--only", default="", metavar="REGEX", help="only rows that match")
    parser.add_argument("--rounds", type=int, help="instead of each measurement's own number")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample there")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there")
    parser.add_argument(
        "--directory", default="/var/tmp", metavar="DIR", help="for images (default: %(default)s)"
    )
    return parser.parse_args()


def measure(
    measurement: Measurement, subjects: Sequence[Subject], rounds: int, samples: Samples
) -> None:
    """Take the samples of one measurement.

    Every round begins with another engine.  The first round is discarded, unless the
    measurement can be taken only once.
    """
    for round_number in range(-1 if measurement.warm_up else 0, rounds):
        first = round_number % len(subjects)
        for subject in [*subjects[first:], *subjects[:first]]:
            time.sleep(SETTLE)
            try:
                sample = measurement.take(subject)
            except Exception as error:  # noqa: BLE001 - one engine's failure is a gap in the table
                print(f"! {measurement.rows} {subject.engine.name}: {error}"[:500], file=sys.stderr)
                continue
            if round_number >= 0:
                for row, figure in sample.items():
                    samples.setdefault(row, {}).setdefault(subject.engine.name, []).append(figure)


def run(
    options: argparse.Namespace, engines: Sequence[Engine], registry: RegistryHost
) -> tuple[Samples, dict[str, str]]:
    """Start the engines and measure."""
    subjects = [Subject(engine, registry) for engine in engines]
    versions = {}
    for engine in engines:
        engine.start()
        engine.load_image()
        versions[engine.name] = engine.version()
    samples: Samples = {}
    prepared = False
    for measurement in MEASUREMENTS:
        if not any(re.search(options.only, row) for row in measurement.rows):
            continue
        if measurement.needs_containers and not prepared:
            prepared = True
            for subject in subjects:
                subject.create_containers()
        began = time.monotonic()
        rounds = measurement.rounds if measurement.rounds == 1 else 0
        measure(measurement, subjects, rounds or options.rounds or measurement.rounds, samples)
        print(
            f"{time.monotonic() - began:6.1f} s  {', '.join(measurement.rows)}",
            file=sys.stderr,
            flush=True,
        )
    return samples, versions


def main() -> int:
    """Compare the engines; return 0 if all targets are reached, else 1."""
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is removed
    if os.geteuid() != 0:
        raise SystemExit("engines need root")
    chosen = [engine for engine in ENGINES if engine.name in options.engines.split(",")]
    for engine in chosen:
        if missing := engine.missing():
            raise SystemExit(f"{engine.name} needs {', '.join(missing)}")
    about = report.facts()
    data = Path(tempfile.mkdtemp(prefix="palan-bench-", dir=options.directory))
    state = Path(tempfile.mkdtemp(prefix="palan-bench-", dir="/run"))
    with contextlib.ExitStack() as stack:  # runs all callbacks even if some of them fail
        stack.callback(shutil.rmtree, data, ignore_errors=True)
        stack.callback(shutil.rmtree, state, ignore_errors=True)
        engines = [engine(data, state) for engine in chosen]
        for made in engines:
            stack.callback(made.close)
        # The removal takes a while, and a second signal must not interrupt it.
        stack.callback(signal.signal, signal.SIGTERM, signal.SIG_IGN)
        samples, versions = run(options, engines, RegistryHost(data / "registry"))
    about["load"] = f"{about['load']} before, {report.load()} after"
    found = report.medians(samples)
    print(report.table(found, list(versions)))
    if options.json:
        content = {"about": about, "versions": versions, "medians": found, "samples": samples}
        options.json.write_text(json.dumps(content, indent=1) + "\n")
    if options.markdown:
        options.markdown.write_text(report.markdown(found, versions, about))
    missed = [
        name
        for name, row in report.ROWS.items()
        if report.verdict(row, found.get(name, {})) is False
    ]
    print(f"not reached: {', '.join(missed)}" if missed else "all targets reached")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
