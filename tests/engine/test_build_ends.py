"""Builds that are cancelled, crash or run concurrently: they leave nothing unfinished behind."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from tests.support.build import Built, build, context, output
from tests.support.crash import assert_same_footprint, baseline, eventually
from tests.support.engine import TestEngine

from palan.api.version import MAX_VERSION
from palan.host.mounts import mount, unmount


pytestmark = pytest.mark.root

SLOW = "FROM busybox\nLABEL slow=1\nRUN echo begun && sleep 600\n"


@pytest.fixture
def engine(shared_engine: TestEngine) -> Iterator[TestEngine]:
    """Yield the engine of the session, and remove containers and images of builds at the end."""
    yield shared_engine
    shared_engine.remove_all()
    shared_engine.api.delete("/images/built?force=1")
    shared_engine.api.post("/images/prune")


def containers(engine: TestEngine) -> list[str]:
    return [line["Id"] for line in engine.api.get("/containers/json?all=1").json]


def begun(engine: TestEngine, query: str = "") -> socket.socket:
    """Return a connection on which a slow build is running."""
    data = context(SLOW)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(20)
    connection.connect(str(engine.socket))
    connection.sendall(
        f"POST /v{MAX_VERSION}/build?nocache=1&{query} HTTP/1.1\r\nHost: x\r\nContent-Type:"
        f" application/x-tar\r\nContent-Length: {len(data)}\r\n\r\n".encode()
        + data
    )
    answer = b""
    while b'"begun\\n"' not in answer:
        piece = connection.recv(4096)
        assert piece, answer
        answer += piece
    return connection


def in_background(
    engine: TestEngine, text: str, **query: Any
) -> "tuple[threading.Thread, list[Built]]":
    results: list[Built] = []
    thread = threading.Thread(target=lambda: results.append(build(engine, text, **query)))
    thread.start()
    return thread, results


def test_a_client_that_goes_ends_the_build(engine):
    before = baseline(engine)
    connection = begun(engine)
    assert len(containers(engine)) == 1
    connection.close()
    eventually(lambda: not containers(engine))
    engine.api.post("/images/prune")
    assert_same_footprint(engine, before)


def test_a_client_that_goes_while_it_sends_the_context(engine):
    before = baseline(engine)
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(engine.socket))
    connection.sendall(
        b"POST /build HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-tar\r\n"
        b"Content-Length: 100000\r\n\r\n" + context("FROM busybox\n")[:1000]
    )
    time.sleep(0.2)
    connection.close()
    assert_same_footprint(engine, before)
    eventually(lambda: not list((engine.data_root / "tmp").iterdir()))


def test_a_build_is_cancelled_by_its_name(engine):
    connection = begun(engine, "buildid=mine")
    assert engine.api.post("/build/cancel?id=other").status == 200
    assert len(containers(engine)) == 1
    assert engine.api.post("/build/cancel?id=mine").status == 200
    rest = b""
    while not rest.endswith(b"0\r\n\r\n"):
        piece = connection.recv(4096)
        assert piece, rest
        rest += piece
    connection.close()
    assert b'"error":"build cancelled"' in rest
    assert containers(engine) == []


def test_two_builds_of_the_same_steps_at_once(engine):
    text = "FROM busybox\nRUN sleep 0.2; echo 1 > /f\nCOPY Dockerfile /d/\nRUN cat /f\n"
    pairs = [in_background(engine, text, t=f"built:{number}") for number in range(3)]
    for thread, _ in pairs:
        thread.join()
    assert [output(result) for _, [result] in pairs if not result.hits] == [["1"]] * 3
    for number in range(3):
        assert engine.api.delete(f"/images/built:{number}").status == 200


def test_images_that_a_build_needs_survive_a_removal(engine):
    base = build(engine, "FROM busybox\nRUN echo base > /base\n", t="built:base").image
    thread, results = in_background(
        engine,
        "FROM built:base AS one\nLABEL meanwhile=1\nRUN sleep 1\nRUN cat /base\nFROM busybox\n"
        "COPY --from=one /base /copied\nRUN cat /copied\n",
        t="built:late",
    )
    eventually(lambda: containers(engine))
    engine.api.delete(f"/images/{quote(base)}?force=1")
    for _ in range(10):
        engine.api.post("/images/prune")
        time.sleep(0.1)
    thread.join()
    assert output(results[0]) == ["base", "base"]
    assert engine.api.get("/images/built:late/json").json["Id"] == results[0].image
    assert engine.api.delete("/images/built:late").status == 200


def test_removing_the_container_of_a_step_fails_the_build(engine):
    connection = begun(engine)
    for container in containers(engine):
        engine.remove(container)
    rest = b""
    while not rest.endswith(b"0\r\n\r\n"):
        piece = connection.recv(4096)
        assert piece, rest
        rest += piece
    connection.close()
    assert b"errorDetail" in rest


def test_a_crash_in_the_middle_leaves_no_container(own_engine):
    before = baseline(own_engine)
    connection = begun(own_engine)
    made = containers(own_engine)
    own_engine.kill()
    connection.close()
    own_engine.start()
    assert made
    assert containers(own_engine) == []
    assert own_engine.api.post("/images/prune").status == 200
    eventually(lambda: not list((own_engine.data_root / "tmp").iterdir()))
    assert_same_footprint(own_engine, before)
    # Finished steps are not repeated, and the remaining ones are done.
    first = build(own_engine, "FROM busybox\nLABEL a=1\nRUN true\n", rm=0)
    build(own_engine, "FROM busybox\nRUN exit 1\n")
    kept = containers(own_engine)
    own_engine.kill()
    own_engine.start()
    assert len(kept) == 3
    assert containers(own_engine) == kept
    again = build(own_engine, "FROM busybox\nLABEL a=1\nRUN true\n")
    assert (again.image, again.hits) == (first.image, 2)


@pytest.fixture
def small_engine() -> Iterator[TestEngine]:
    """Yield an engine on a disk of 40 MB."""
    engine = TestEngine()
    mount("tmpfs", engine.base, "tmpfs", 0, "size=40m")
    engine.start()
    engine.load_image()
    yield engine
    engine.close()
    unmount(engine.base)
    engine.base.rmdir()


def test_a_full_disk_is_an_error_and_leaves_nothing_behind(small_engine):
    engine = small_engine

    def state() -> object:
        images = sorted(line["Id"] for line in engine.api.get("/images/json?all=1").json)
        eventually(lambda: not list((engine.data_root / "tmp").iterdir()))
        blobs = sorted(p.name for p in (engine.data_root / "images/blobs/sha256").iterdir())
        layers = sorted(p.name for p in (engine.data_root / "images/layers").iterdir())
        return images, blobs, layers, containers(engine)

    before = state()
    large = os.urandom(25 << 20)
    full = "no space left on device"
    received = build(engine, "FROM busybox\n", {"large": large + large}).answer
    assert (received.status, full in received.message.lower()) == (500, True)
    copied = build(engine, "FROM busybox\nCOPY large /\n", {"large": large})
    assert full in copied.error.lower()
    # The step's files take more than half of the disk, so the layer does not fit beside them.
    ran = build(engine, "FROM busybox\nRUN dd if=/dev/zero of=/f bs=1M count=25\n", forcerm=1)
    assert full in ran.error.lower()
    assert state() == before
    assert build(engine, "FROM busybox\nCOPY small /\nRUN cat /small\n", {"small": "1"}).image
