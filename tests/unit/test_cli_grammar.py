"""The command's grammar and exit statuses are docker's, as compared with docker 28."""

import io
import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.fake_engine import ServerConnection, fake_engine, json_answer

from palan.cli import main
from palan.cli.verbs.images import _check_tag, _context_of_stdin
from palan.cli.verbs.registry import find
from palan.cli.verbs.run_options import arguments_of_create
from palan.cli.verbs.verb import Parser


NO_OBJECT = json_answer(b'{"message":"No such object: x"}', "404 Not Found")
NO_NETWORK = b'{"message":"failed to set up container networking: network nosuch not found"}'
CREATED = json_answer(b'{"Id":"0123456789abcdef","Warnings":[]}', "201 Created")


def status_of(words: list[str]) -> int:
    try:
        return main(words)
    except SystemExit as ended:
        return int(ended.code or 0)


def parsed(verb: str, *words: str) -> Any:
    parser = Parser(prog=verb)
    find(verb).declare(parser)
    return parser.parse_args(list(words))


@pytest.mark.parametrize(
    ("words", "image", "command"),
    [
        (["busybox", "--", "echo", "hi"], "busybox", ["--", "echo", "hi"]),
        (["--", "busybox", "echo", "--", "hi"], "busybox", ["echo", "--", "hi"]),
        (["busybox", "sh", "-c", "exit 3"], "busybox", ["sh", "-c", "exit 3"]),
        (["-e", "-x", "busybox", "--rm=no"], "busybox", ["--rm=no"]),
        (["--entrypoint=", "-itm", "-1", "busybox"], "busybox", []),
    ],
)
def test_words_after_the_image_are_handed_on(
    words: list[str], image: str, command: list[str]
) -> None:
    given = parsed("run", *words)
    assert (given.image, given.command) == (image, command)


def test_options_have_values_as_docker_reads_them() -> None:
    given = parsed("run", "-it", "-eA=-1", "-e=B", "--env", "-C", "-m=1g", "--init=T", "busybox")
    assert (given.env, given.memory) == (["A=-1", "B", "-C"], "1g")
    assert (given.interactive, given.tty, given.init) == (True, True, True)
    assert parsed("build", "--rm=false", ".").rm is False
    assert parsed("stop", "-t", "-1", "c").time == -1
    assert parsed("rm", "a", "-f", "b").containers == ["a", "b"]
    assert parsed("exec", "c", "--", "x").command == ["--", "x"]


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["rm"], 1, "palan: 'palan rm' requires at least 1 argument"),
        (["rm", "-x"], 125, "unknown shorthand flag: 'x' in -x"),
        (["run"], 1, "palan: 'palan run' requires at least 1 argument"),
        (["run", "--nonsense", "b"], 125, "unknown flag: --nonsense"),
        (["run", "-m"], 125, "flag needs an argument: 'm' in -m"),
        (["run", "--rm=maybe", "b"], 125, 'invalid argument "maybe" for "--rm" flag'),
        (["exec", "c"], 1, "palan: 'palan exec' requires at least 2 arguments"),
        (["pull"], 1, "palan: 'palan pull' requires 1 argument"),
        (["cp", "a"], 1, "palan: 'palan cp' requires 2 arguments"),
        (["ps", "extra"], 1, "palan: 'palan ps' accepts no arguments"),
        (["images", "a", "b"], 1, "palan: 'palan images' requires at most 1 argument"),
    ],
)
def test_wrong_words_end_as_with_docker(
    words: list[str], status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == status
    assert capsys.readouterr().err.startswith(message)


def test_help_needs_no_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["run", "--help"], ["rm", "-h"]):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 0
        assert "usage" in capsys.readouterr().out.lower()


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["rm", "-f", "x"], 0),
        (["rm", "x"], 1),
        (["rmi", "-f", "x"], 0),
        (["network", "rm", "-f", "x"], 0),
        (["network", "rm", "x"], 1),
        (["inspect", "--type", "bad", "x"], 1),
        (["run", "-it", "busybox"], 1),
        (["run", "-d", "-a", "stdout", "busybox"], 1),
        (["run", "--env-file", "/nonexistent", "busybox"], 125),
        (["run", "-p", "abc", "busybox"], 125),
        (["volume", "create", "--name", "a", "b"], 1),
        (["build", "-t", "BAD", "."], 125),
        (["cp", "/a", "/b"], 1),
        (["ps", "--filter", "x"], 125),
        (["network", "connect", "n"], 1),
        (["network", "create", "--gateway", "10.0.0.1", "n"], 1),
        (["update", "c"], 1),
        (["pull", "-a", "busybox:1"], 1),
        (["system"], 0),
    ],
)
def test_statuses(
    tmp_path: Path, words: list[str], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def handle(connection: ServerConnection) -> None:
        while head := connection.head():
            connection.body(head)
            connection.send(NO_OBJECT)

    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    with fake_engine(tmp_path / "api.sock", handle) as engine:
        monkeypatch.setenv("DOCKER_HOST", engine.url)
        monkeypatch.setenv("DOCKER_API_VERSION", "1.50")
        assert status_of(words) == status


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (NO_NETWORK, 125),
        (b'{"message":"exec: \\"x\\": executable file not found in $PATH"}', 127),
        (b'{"message":"exec: \\"/etc\\": is a directory"}', 126),
    ],
)
def test_the_status_of_run_tells_why_the_start_failed(
    tmp_path: Path, message: bytes, status: int, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def handle(connection: ServerConnection) -> None:
        while head := connection.head():
            connection.body(head)
            created = "/create?" in head or "/create " in head
            connection.send(CREATED if created else json_answer(message, "500 Internal"))

    with fake_engine(tmp_path / "api.sock", handle) as engine:
        monkeypatch.setenv("DOCKER_HOST", engine.url)
        monkeypatch.setenv("DOCKER_API_VERSION", "1.50")
        assert main(["run", "-d", "busybox"]) == status
    assert capsys.readouterr().err.startswith("palan: Error response from daemon: ")


@pytest.mark.parametrize(
    "words", [["version"], ["ps"], ["rm", "-f", "x"], ["exec", "c", "true"], ["info"]]
)
def test_without_an_engine_the_status_is_1(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-H", "unix:///nonexistent", *words]) == 1
    assert "Cannot connect to the Docker daemon at unix:///nonexistent" in capsys.readouterr().err
    assert main(["-H", "unix:///nonexistent", "run", "busybox"]) == 125


def test_an_address_without_a_network_is_for_the_default_network() -> None:
    made = arguments_of_create(parsed("run", "--ip", "10.0.0.2", "busybox"))
    assert [*made["networking_config"].endpoints_config] == ["default"]
    assert arguments_of_create(parsed("run", "busybox"))["host_config"].network_mode == ""


def test_names_of_builds_are_checked_first() -> None:
    for tag in ("a", "a:1", "r.example/a/b-c:x_Y", "localhost:5000/a", "a__b", "[::1]:5/a"):
        _check_tag(tag)
    for tag in ("BAD", "a:", "a b", "-a", "r.example/A"):
        with pytest.raises(ValueError, match="invalid reference format"):
            _check_tag(tag)


def test_a_dockerfile_or_an_archive_on_stdin_is_a_context(monkeypatch: pytest.MonkeyPatch) -> None:
    def context(data: bytes) -> bytes:
        stdin = SimpleNamespace(buffer=io.BufferedReader(io.BytesIO(data)))
        monkeypatch.setattr("sys.stdin", stdin)
        made = _context_of_stdin()
        return made if isinstance(made, bytes) else b"".join(made)

    text = b"FROM busybox\n" + b"# x\n" * 1000
    archive = context(text)
    with tarfile.open(fileobj=io.BytesIO(archive)) as found:
        file = found.extractfile("Dockerfile")
        assert file is not None
        assert file.read() == text
    assert context(archive) == archive
    assert context(b"\x1f\x8bzipped") == b"\x1f\x8bzipped"


def test_the_third_interrupt_ends_the_command() -> None:
    """Also if the engine and the container ignore the signals."""
    program = (
        "import signal, time\n"
        "from palan.cli.verbs.terminal import Terminal\n"
        "class Containers:\n    def kill(self, *a, **k): pass\n"
        "class Client:\n    containers = Containers()\n"
        "terminal = Terminal(tty=False, stdin=False)\n"
        "with terminal.forwarded_signals(Client(), 'c', wanted=True):\n"
        "    print('ready', flush=True)\n"
        "    while True: time.sleep(0.01)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        os.sched_yield()
    _, errors = process.communicate()
    assert process.returncode == 1
    assert b"got 3 SIGTERM/SIGINTs, forcefully exiting" in errors
