"""Limits of the size of logs: the end is kept, without gaps."""

import contextlib
import gzip
import time

import pytest
from tests.support.crash import assert_quiet_log, eventually, killed
from tests.support.engine import TestEngine

from palan.api.frames import FrameDecoder


pytestmark = pytest.mark.root


def logged(engine: TestEngine, container: str, query: str = "stdout=1&stderr=1") -> bytes:
    answer = engine.api.get(f"/containers/{container}/logs?{query}")
    assert answer.status == 200, answer.body
    return text_of(answer.body)


def text_of(body: bytes) -> bytes:
    return b"".join(text for _, text in FrameDecoder().feed(body))


def log_files(engine: TestEngine, container: str) -> list[str]:
    directory = engine.data_root / "containers" / container
    return sorted(p.name for p in directory.iterdir() if p.name.startswith("container.log"))


def size_of(engine: TestEngine, container: str) -> int:
    """Return the bytes on disk; a file with two names counts once."""
    directory = engine.data_root / "containers" / container
    found = {}
    for path in directory.glob("container.log*"):
        with contextlib.suppress(FileNotFoundError):  # deleted just now
            status = path.stat()
            found[status.st_ino] = status.st_size
    return sum(found.values())


def run(engine: TestEngine, *command: str, driver: str = "json-file", **options: str) -> str:
    config = {name.replace("_", "-"): value for name, value in options.items()}
    return engine.run(*command, host={"LogConfig": {"Type": driver, "Config": config}})


def is_a_suffix(data: bytes, last: int) -> int:
    """Check that the numbers have no gap and end with the last one; return the first."""
    numbers = [int(line) for line in data.split(b"\n")[:-1]]
    assert numbers == list(range(numbers[0], last + 1))
    return numbers[0]


def test_a_log_is_begun_anew_when_it_is_full(engine: TestEngine):
    container = run(engine, "seq", "1", "5000", max_size="20k")
    assert engine.wait(container) == 0
    log = engine.data_root / "containers" / container / "container.log"
    assert 0 < log.stat().st_size < 25_000
    assert is_a_suffix(logged(engine, container), 5000) > 4000


def test_small_files_are_rotated_by_the_engine(engine: TestEngine):
    script = "for i in $(seq 1 100); do seq $((i*100-99)) $((i*100)); sleep 0.03; done"
    container = run(engine, "sh", "-c", script, max_size="100k", max_file="3")
    follower = engine.api.get(f"/containers/{container}/logs?stdout=1&follow=1")
    assert is_a_suffix(text_of(follower.body), 10_000) == 1
    assert engine.wait(container) == 0
    assert is_a_suffix(logged(engine, container), 10_000) > 3000
    assert 50_000 < size_of(engine, container) <= 300_100
    assert len({*log_files(engine, container)} - {"container.log"}) <= 3


def test_an_oversized_log_is_cut_at_the_containers_end(engine: TestEngine):
    container = run(engine, "seq", "1", "30000", max_size="50k", max_file="2")
    assert engine.wait(container) == 0
    assert is_a_suffix(logged(engine, container), 30_000) > 25_000
    assert 50_000 < size_of(engine, container) <= 100_100
    assert_quiet_log(engine)


def test_large_files_are_rotated_by_conmon_and_compressed(engine: TestEngine):
    container = run(engine, "seq", "1", "600000", driver="local", max_size="9m", max_file="3")
    assert engine.wait(container) == 0
    directory = engine.data_root / "containers" / container
    eventually(lambda: any(name.endswith(".gz") for name in log_files(engine, container)))
    data = logged(engine, container)
    assert is_a_suffix(data, 600_000) < 450_000
    assert logged(engine, container, "stdout=1&tail=3") == b"599998\n599999\n600000\n"
    for path in directory.glob("*.gz"):
        assert gzip.decompress(path.read_bytes()).count(b" stdout F ") > 50_000
    assert len(log_files(engine, container)) <= 4
    assert_quiet_log(engine)


def test_rotation_continues_with_the_next_engine(own_engine: TestEngine):
    engine = own_engine
    script = "for i in $(seq 1 120); do seq $((i*100-99)) $((i*100)); sleep 0.05; done; sleep 600"
    container = run(engine, "sh", "-c", script, max_size="100k", max_file="3")
    time.sleep(1.5)
    with killed(engine):
        time.sleep(1)
    eventually(lambda: logged(engine, container, "stdout=1&tail=1") == b"12000\n", 20)
    eventually(lambda: size_of(engine, container) < 330_000)
    assert is_a_suffix(logged(engine, container), 12_000) > 1
    assert_quiet_log(engine)


def test_a_log_without_limits_is_bounded_all_the_same(engine: TestEngine):
    container = run(engine, "echo", "hello")
    engine.wait(container)
    assert log_files(engine, container) == ["container.log", "container.log.1"]
    unlimited = run(engine, "echo", "hello", max_size="-1")
    engine.wait(unlimited)
    assert log_files(engine, unlimited) == ["container.log"]


def test_details_have_labels_variables_and_tag(engine: TestEngine):
    options = {
        "labels": "tier",
        "labels-regex": "^com",
        "env-regex": "^Z",
        "tag": "{{.Name}}/{{.ImageName}}",
    }
    container = engine.run(
        "echo",
        "hi",
        name="web",
        host={"LogConfig": {"Type": "json-file", "Config": options}},
        Labels={"tier": "a b", "com.x": "1", "other": "2"},
        Env=["ZONE=east"],
    )
    engine.wait(container)
    expected = b"ZONE=east,com.x=1,tag=web%2Fbusybox%3Alatest,tier=a+b hi\n"
    assert logged(engine, container, "stdout=1&details=1") == expected


@pytest.mark.parametrize(
    ("driver", "options", "words"),
    [
        ("json-file", {"tag": "{{.Nope}}"}, "can't evaluate field Nope"),
        ("local", {"max-file": "1"}, "compression cannot be enabled when max file count is 1"),
        ("json-file", {"cache-disabled": "maybe"}, "invalid value for option cache-disabled"),
        ("awslogs", {}, 'plugin "awslogs" not found'),
        ("gcplogs", {}, 'plugin "gcplogs" not found'),
    ],
)
def test_options_that_can_not_be_are_refused(
    engine: TestEngine, driver: str, options: dict[str, str], words: str
):
    host = {"LogConfig": {"Type": driver, "Config": options}}
    body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": host}
    answer = engine.api.post("/containers/create", body)
    assert answer.status == 400
    assert words in answer.message
