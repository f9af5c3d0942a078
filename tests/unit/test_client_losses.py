"""Operations that fail half-way: the errors have what came before, and say what is left."""

import io
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_engine import ServerConnection, answering, chunked, fake_engine, json_answer

import palan
from palan.api.version import MAX_VERSION
from palan.client import errors


CREATED = json_answer(b'{"Id":"0123456789abcdef","Warnings":[]}', "201 Created")
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
UPGRADED = (
    b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\n"
    b"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
)


def frame(stream: int, data: bytes) -> bytes:
    return struct.pack(">BxxxL", stream, len(data)) + data


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "api.sock"


def client(url: str) -> palan.Client:
    return palan.Client(url, version=str(MAX_VERSION))


class RunEngine:
    """Answers the calls of ``run``; ``dies_at`` is the call at which the engine ends."""

    def __init__(self, path: Path, dies_at: str) -> None:
        self.path = path
        self.dies_at = dies_at
        self.removed = threading.Event()

    def __call__(self, connection: ServerConnection) -> None:
        while head := connection.head():
            connection.body(head)
            call = head.split()[1].partition("?")[0].rpartition("/")[2]
            call = "remove" if head.startswith("DELETE") else call
            if call == self.dies_at:
                self.path.unlink()
                return
            if call == "attach":
                connection.send(UPGRADED + frame(1, b"so far") + frame(2, b"oops"))
                if self.dies_at == "never":
                    self.removed.wait(10)
                return
            if call == "start" and self.dies_at == "output":
                self.path.unlink()
                connection.send(NO_CONTENT)
                return
            if call == "remove":
                self.removed.set()
            connection.send({"create": CREATED, "wait": json_answer(b'{"StatusCode":0}')}.get(
                call, NO_CONTENT
            ))  # fmt: skip


@pytest.mark.parametrize("dies_at", ["start", "output", "wait", "remove"])
def test_a_run_whose_engine_dies_does_not_say_that_nothing_was_sent(
    path: Path, dies_at: str
) -> None:
    with fake_engine(path, RunEngine(path, dies_at)) as engine, client(engine.url) as docker:
        with pytest.raises(errors.ConnectionLost) as caught:
            docker.containers.run("busybox", "sleep 1000")
    error = caught.value
    assert error.container == "0123456789abcdef"
    assert "0123456789ab" in str(error)
    if dies_at != "start":
        assert (error.stdout, error.stderr) == (b"so far", b"oops")


async def test_a_launch_whose_engine_dies_async(path: Path) -> None:
    with fake_engine(path, RunEngine(path, "start")) as engine:
        async with palan.AsyncClient(engine.url, version=str(MAX_VERSION)) as docker:
            with pytest.raises(errors.ConnectionLost, match="could not be removed") as caught:
                await docker.containers.launch("busybox")
    assert caught.value.container == "0123456789abcdef"


@pytest.mark.parametrize("stdin", [None, b"x" * (8 << 20)], ids=["reading", "writing"])
def test_a_timeout_of_run_has_the_output_so_far(path: Path, stdin: bytes | None) -> None:
    handler = RunEngine(path, "never")
    with fake_engine(path, handler) as engine, client(engine.url) as docker:
        with pytest.raises(errors.Timeout, match=r"ran for longer than 0\.3 seconds") as caught:
            docker.containers.run("busybox", "cat", stdin=stdin, timeout=0.3)
    assert (caught.value.stdout, caught.value.stderr) == (b"so far", b"oops")
    assert handler.removed.is_set()


async def test_a_timeout_of_run_has_the_output_so_far_async(path: Path) -> None:
    for number, stdin in enumerate((None, b"x" * (8 << 20))):
        here = path.with_name(f"{number}.sock")
        with fake_engine(here, RunEngine(here, "never")) as engine:
            async with palan.AsyncClient(engine.url, version=str(MAX_VERSION)) as docker:
                with pytest.raises(errors.Timeout) as caught:
                    await docker.containers.run("busybox", "cat", stdin=stdin, timeout=0.3)
                assert (caught.value.stdout, caught.value.stderr) == (b"so far", b"oops")


def test_a_failed_build_has_what_the_builder_said(path: Path) -> None:
    messages = (
        b'{"stream":"Step 1/2 : FROM busybox\\n"}\n{"stream":"noise\\n"}\n'
        b'{"error":"failed","errorDetail":{"code":3,"message":"failed"}}\n'
    )
    with fake_engine(path, answering(chunked(messages))) as engine, client(engine.url) as docker:
        with pytest.raises(errors.OperationFailed) as caught:
            docker.images.build(archive=b"tar")
    assert (caught.value.code, caught.value.output) == (3, "Step 1/2 : FROM busybox\nnoise\n")


def test_a_load_returns_the_names(path: Path) -> None:
    messages = (
        b'{"status":"Loading layer","id":"abc"}\n{"stream":"Loaded image: busybox:latest\\n"}\n'
        b'{"stream":"Loaded image ID: sha256:0123\\n"}\n'
    )
    with fake_engine(path, answering(chunked(messages))) as engine, client(engine.url) as docker:
        assert docker.images.load(io.BytesIO(b"tar")).wait() == ["busybox:latest", "sha256:0123"]


@pytest.mark.parametrize(
    "config", ['{"credsStore":"absent"}', '{"credHelpers":{"docker.io":"absent"}, "auths":{}}']
)
def test_broken_credentials_do_not_stop_what_needs_none(
    path: Path, tmp_path: Path, config: str, caplog: Any
) -> None:
    (tmp_path / "config.json").write_text(config)
    heads = []

    def handle(connection: ServerConnection) -> None:
        while head := connection.head():
            heads.append(head)
            connection.body(head)
            answer = b'{"Id":"x"}' if head.startswith("GET") else b'{"stream":"sha256:1"}'
            connection.send(json_answer(answer))

    environ = {"DOCKER_CONFIG": str(tmp_path), "PATH": ""}
    with fake_engine(path, handle) as engine:
        docker = palan.Client(engine.url, version=str(MAX_VERSION), environ=environ)
        with docker:
            docker.images.pull("busybox")
            docker.images.build(archive=b"")
    assert not any("X-Registry-Auth" in head for head in heads)
    if "credsStore" in config:
        assert "docker-credential-absent cannot be started" in caplog.text


def test_progress_bars_say_what_to_install() -> None:
    program = "import sys; sys.modules['rich'] = None\nimport palan.client.progress"
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert 'pip install "palan[progress]"' in done.stderr.splitlines()[-1]
