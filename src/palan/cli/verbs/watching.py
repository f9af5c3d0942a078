"""Verbs that watch containers: ``logs``, ``events``, ``stats``, ``top``, ``port``, ``diff``."""

import json
import sys
import threading
import time
from typing import Any

import msgspec

from palan.cli.verbs.listing import filters_of
from palan.cli.verbs.run_options import nanoseconds
from palan.cli.verbs.table import print_table, seconds_of, short, size
from palan.cli.verbs.template import Template
from palan.cli.verbs.verb import Arguments, Parser, Verb
from palan.client import Client
from palan.client.errors import ClientError


__all__ = ["DIFF", "EVENTS", "LOGS", "PORT", "STATS", "TOP"]


def api_time(text: str) -> str:
    """Return a time for the API, of Unix seconds, an RFC 3339 time, or a duration before now.

    Raises:
        ValueError: the text is none of these.
    """
    if not text or text.replace(".", "", 1).isdigit():
        return text
    if text[0].isdigit() and "T" not in text and "-" not in text:
        return f"{time.time() - nanoseconds(text) / 1e9:.9f}"
    return text if text.endswith("Z") or seconds_of(text) == 0 else f"{seconds_of(text):.9f}"


def _declare_logs(parser: Parser) -> None:
    parser.add_argument("-f", "--follow", action="store_true", help="follow log output")
    parser.add_argument("-t", "--timestamps", action="store_true", help="show timestamps")
    parser.add_argument(
        "-n", "--tail", default="all", metavar="LINES",
        help="number of lines to show from the end of the logs",
    )  # fmt: skip
    parser.add_argument(
        "--since", default="", metavar="TIME",
        help="show logs since a timestamp (2013-01-02T13:23:37Z) or relative (42m for 42 minutes)",
    )  # fmt: skip
    parser.add_argument("--until", default="", metavar="TIME")
    parser.add_argument(
        "--details", action="store_true", help="show extra details provided to logs"
    )
    parser.add_argument("container", metavar="CONTAINER")


def _logs(client: Client, given: Arguments) -> None:
    with client.containers.logs(
        given.container,
        follow=given.follow,
        stdout=True,
        stderr=True,
        since=api_time(given.since),
        until=api_time(given.until),
        timestamps=given.timestamps,
        details=given.details,
        tail=given.tail,
    ) as logs:
        for output in logs:
            target = sys.stderr if output.stream == "stderr" else sys.stdout
            target.buffer.write(output.data)
            target.buffer.flush()


def _declare_events(parser: Parser) -> None:
    parser.add_argument("--since", default="", metavar="TIME")
    parser.add_argument("--until", default="", metavar="TIME")
    parser.add_argument("-f", "--filter", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--format", default="", metavar="TEMPLATE", help="json, or a Go template")


def _events(client: Client, given: Arguments) -> None:
    template = Template(given.format) if given.format not in ("", "json") else None
    with client.system.events(
        since=api_time(given.since), until=api_time(given.until), filters=filters_of(given.filter)
    ) as events:
        for event in events:
            if template is not None:
                print(template.render(msgspec.to_builtins(event)), flush=True)
            elif given.format == "json":
                print(msgspec.json.encode(event).decode(), flush=True)
            else:
                print(_event_line(event), flush=True)


def _event_line(event: Any) -> str:
    whole, nano = divmod(event.time_nano or event.time * 10**9, 10**9)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(whole))
    zone = time.strftime("%z", time.localtime(whole))
    attributes = ", ".join(f"{k}={v}" for k, v in sorted(event.actor.attributes.items()))
    rest = f" ({attributes})" if attributes else ""
    return (
        f"{stamp}.{nano:09d}{zone[:3]}:{zone[3:]} {event.type} {event.action} "
        f"{event.actor.id}{rest}"
    )


def _declare_stats(parser: Parser) -> None:
    parser.add_argument(
        "-a", "--all", action="store_true", help="show all containers (default shows just running)"
    )
    parser.add_argument(
        "--no-stream", action="store_true", help="disable streaming stats, print the first result"
    )
    parser.add_argument("--no-trunc", action="store_true", help="do not truncate output")
    parser.add_argument("--format", default="", metavar="TEMPLATE", help="json, or a Go template")
    parser.add_argument("containers", nargs="*", metavar="CONTAINER")


_STATS = {
    "ID": "CONTAINER ID", "Name": "NAME", "CPUPerc": "CPU %", "MemUsage": "MEM USAGE / LIMIT",
    "MemPerc": "MEM %", "NetIO": "NET I/O", "BlockIO": "BLOCK I/O", "PIDs": "PIDS",
}  # fmt: skip


def _stats(client: Client, given: Arguments) -> None:
    terminal = sys.stdout.isatty() and not given.format
    while True:
        names = given.containers or [one.id for one in client.containers.list(all=given.all)]
        rows = _samples(client, names, full=given.no_trunc, strict=bool(given.containers))
        if terminal and not given.no_stream:
            print("\x1b[H\x1b[J", end="")
        _print_stats(rows, given.format)
        if given.no_stream:
            return
        sys.stdout.flush()


def _print_stats(rows: list[dict[str, str]], form: str) -> None:
    if form == "json":
        for row in rows:
            print(json.dumps(row, separators=(",", ":")))
    elif form:
        template = Template(form)
        for row in rows:
            print(template.render(row))
    else:
        print_table(list(_STATS.values()), [[row[name] for name in _STATS] for row in rows])


def _samples(client: Client, names: list[str], *, full: bool, strict: bool) -> list[dict[str, str]]:
    """Take a sample of each container, all at the same time: each takes a second or two."""
    rows: dict[str, dict[str, str]] = {}
    failures: list[ClientError] = []

    def sample(name: str) -> None:
        try:
            with client.containers.stats(name, stream=False) as stats:
                found = stats.next()
                if found is not None:
                    rows[name] = _stats_row(name, found, full=full)
        except ClientError as error:
            failures.append(error)

    threads = [threading.Thread(target=sample, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures and strict:
        raise failures[0]
    return [rows[name] for name in names if name in rows]


def _stats_row(name: str, stats: Any, *, full: bool) -> dict[str, str]:
    document = msgspec.to_builtins(stats)
    cpu, before = document.get("cpu_stats") or {}, document.get("precpu_stats") or {}
    used = _deep(cpu, "cpu_usage", "total_usage") - _deep(before, "cpu_usage", "total_usage")
    system = (cpu.get("system_cpu_usage") or 0) - (before.get("system_cpu_usage") or 0)
    cpus = cpu.get("online_cpus") or len((cpu.get("cpu_usage") or {}).get("percpu_usage") or [1])
    share = used / system * cpus * 100 if system > 0 and used > 0 else 0.0
    memory = document.get("memory_stats") or {}
    details = memory.get("stats") or {}
    # As in the docker CLI, inactive page cache, which the kernel can drop, is not counted.
    cache = details.get("total_inactive_file", details.get("inactive_file", 0))
    usage = max(0, (memory.get("usage") or 0) - cache)
    limit = memory.get("limit") or 0
    networks = (document.get("networks") or {}).values()
    received = sum(one.get("rx_bytes", 0) for one in networks)
    sent = sum(one.get("tx_bytes", 0) for one in networks)
    blocks = _deep_list(document, "blkio_stats", "io_service_bytes_recursive")
    read = sum(one["value"] for one in blocks if one.get("op", "").lower() == "read")
    written = sum(one["value"] for one in blocks if one.get("op", "").lower() == "write")
    identity = document.get("id") or name
    return {
        "ID": identity if full else short(identity),
        "Name": (document.get("name") or name).removeprefix("/"),
        "CPUPerc": f"{share:.2f}%",
        "MemUsage": f"{size(usage, 1024)} / {size(limit, 1024)}",
        "MemPerc": f"{usage / limit * 100 if limit else 0:.2f}%",
        "NetIO": f"{size(received)} / {size(sent)}",
        "BlockIO": f"{size(read)} / {size(written)}",
        "PIDs": str((document.get("pids_stats") or {}).get("current") or 0),
    }


def _deep(document: Any, *names: str) -> int:
    for name in names:
        document = (document or {}).get(name)
    return document or 0


def _deep_list(document: Any, *names: str) -> list[Any]:
    for name in names:
        document = (document or {}).get(name)
    return document or []


def _declare_top(parser: Parser) -> None:
    parser.add_argument("container", metavar="CONTAINER")
    parser.add_argument("arguments", nargs="...", metavar="PS_ARGUMENT")


def _top(client: Client, given: Arguments) -> None:
    found = client.containers.top(given.container, ps_args=" ".join(given.arguments) or "-ef")
    print_table(found.titles, found.processes)


def _declare_port(parser: Parser) -> None:
    parser.add_argument("container", metavar="CONTAINER")
    parser.add_argument("port", nargs="?", metavar="PORT[/PROTOCOL]")


def _port(client: Client, given: Arguments) -> int:
    ports = client.containers.inspect(given.container).network_settings.ports
    wanted = given.port and (given.port if "/" in given.port else f"{given.port}/tcp")
    found = False
    for port, bindings in sorted(ports.items()):
        for binding in bindings or ():
            host = f"[{binding.host_ip}]" if ":" in binding.host_ip else binding.host_ip
            if wanted in (None, port):
                found = True
                line = f"{host}:{binding.host_port}"
                print(line if wanted else f"{port} -> {line}")
    if wanted and not found:
        print(
            f"Error: No public port '{given.port}' published for {given.container}", file=sys.stderr
        )
        return 1
    return 0


def _declare_diff(parser: Parser) -> None:
    parser.add_argument("container", metavar="CONTAINER")


def _diff(client: Client, given: Arguments) -> None:
    for change in client.containers.changes(given.container):
        print("CAD"[change.kind], change.path)


LOGS = Verb("Fetch the logs of a container", _declare_logs, _logs)
EVENTS = Verb("Get real time events from the engine", _declare_events, _events)
STATS = Verb("Display a live stream of containers' resource usage", _declare_stats, _stats)
TOP = Verb("Display the running processes of a container", _declare_top, _top)
PORT = Verb("List port mappings of a container", _declare_port, _port)
DIFF = Verb("Inspect changes to files or directories of a container", _declare_diff, _diff)
