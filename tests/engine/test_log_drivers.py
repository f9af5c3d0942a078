"""Log drivers that send lines to servers: with real receivers, crashes and outages."""

import socket
import time

import pytest
from tests.support import receivers
from tests.support.crash import assert_quiet_log, eventually, killed, running
from tests.support.engine import TestEngine

from palan.api.frames import FrameDecoder


pytestmark = pytest.mark.root


def run(engine: TestEngine, driver: str, *command: str, **options: str) -> str:
    config = {name.replace("_", "-"): value for name, value in options.items()}
    host = {"LogConfig": {"Type": driver, "Config": config}}
    return engine.run(*command, host=host, Labels={"tier": "front"})


def logged(engine: TestEngine, container: str) -> bytes:
    answer = engine.api.get(f"/containers/{container}/logs?stdout=1&stderr=1")
    assert answer.status == 200, answer.body
    return b"".join(text for _, text in FrameDecoder().feed(answer.body))


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


SPEAK = ("sh", "-c", "echo out; echo err >&2; printf 'no end'")


def test_syslog(engine: TestEngine):
    with receivers.Syslog("tcp") as receiver:
        container = run(
            engine,
            "syslog",
            *SPEAK,
            syslog_address=receiver.address,
            syslog_format="rfc5424micro",
            tag="{{.ImageName}}/{{.ID}}",
        )
        engine.wait(container)
        messages = receiver.wait(3)
    texts = {m.text: m.severity for m in messages}
    assert texts == {"out": 6, "err": 3, "no end": 6}
    assert f" busybox:latest/{container[:12]} " in messages[0].rest
    assert sorted(logged(engine, container).split(b"\n")) == [b"err", b"no end", b"out"]
    assert_quiet_log(engine)


def test_gelf(engine: TestEngine):
    with receivers.Gelf("udp") as receiver:
        container = run(engine, "gelf", *SPEAK, gelf_address=receiver.address, labels="tier")
        messages = receiver.wait(3)
    assert {m["short_message"] for m in messages} == {"out", "err", "no end"}
    assert {(m["_container_id"], m["_tier"]) for m in messages} == {(container, "front")}
    engine.wait(container)
    assert b"no end" in logged(engine, container)


def test_fluentd(engine: TestEngine):
    with receivers.Fluentd() as receiver:
        long = "head -c 40000 /dev/zero | tr '\\0' x"
        run(engine, "fluentd", "sh", "-c", long, fluentd_address=receiver.address, tag="t.{{.ID}}")
        messages = receiver.wait(3)
    assert [m[2]["partial_last"] for m in messages] == ["false", "false", "true"]
    assert "".join(m[2]["log"] for m in messages) == "x" * 40_000


def test_splunk(engine: TestEngine):
    with receivers.Splunk() as receiver:
        container = run(
            engine, "splunk", *SPEAK, splunk_url=receiver.address, splunk_token="secret"
        )
        engine.wait(container)
        messages = receiver.wait(
            3, seconds=3
        )  # at the container's end, an incomplete batch is sent at once
    assert {m["event"]["line"] for m in messages} == {"out", "err", "no end"}
    assert {m["event"]["tag"] for m in messages} == {container[:12]}


@pytest.mark.parametrize(
    ("driver", "options", "words"),
    [
        ("syslog", {"syslog_address": "tcp://127.0.0.1:1"}, "dial tcp 127.0.0.1:1: connection"),
        ("gelf", {"gelf_address": "tcp://127.0.0.1:1"}, "cannot connect to GELF endpoint"),
        ("fluentd", {"fluentd_address": "127.0.0.1:1"}, "dial tcp 127.0.0.1:1: connection refused"),
        ("splunk", {"splunk_url": "http://127.0.0.1:1", "splunk_token": "x"}, "Options"),
    ],
)
def test_without_a_receiver_it_does_not_start(
    engine: TestEngine, driver: str, options: dict[str, str], words: str
):
    config = {name.replace("_", "-"): value for name, value in options.items()}
    container = engine.create("true", host={"LogConfig": {"Type": driver, "Config": config}})
    answer = engine.api.post(f"/containers/{container}/start")
    assert answer.status == 500
    assert "failed to initialize logging driver: " in answer.message
    assert words in answer.message
    assert engine.inspect(container)["State"]["Status"] in ("created", "exited")


def test_journald_that_is_not_there(engine: TestEngine):
    container = engine.create("true", host={"LogConfig": {"Type": "journald"}})
    answer = engine.api.post(f"/containers/{container}/start")
    if answer.status == 204:
        pytest.skip("systemd's journal runs here")
    assert "journald is not enabled on this host" in answer.message


def test_refusals_and_warnings(engine: TestEngine):
    def create(driver: str, **options: str) -> tuple[int, str]:
        config = {name.replace("_", "-"): value for name, value in options.items()}
        host = {"LogConfig": {"Type": driver, "Config": config}}
        body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": host}
        answer = engine.api.post("/containers/create", body)
        return answer.status, answer.body.decode()

    assert create("syslog", bogus="1")[0] == 400
    assert "unknown log opt 'bogus' for syslog log driver" in create("syslog", bogus="1")[1]
    status, text = create("gelf", gelf_address="udp://x:1", bogus="1")
    assert status == 400
    assert 'unknown log opt \\"bogus\\" for gelf log driver' in text
    status, text = create("fluentd", fluentd_buffer_limit="1m", fluentd_async="true")
    assert status == 201
    assert "fluentd-buffer-limit has no effect" in text
    drivers = engine.api.get("/info").json["Plugins"]["Log"]
    assert drivers == ["fluentd", "gelf", "journald", "json-file", "local", "splunk", "syslog"]


def test_reading_back_can_be_switched_off(engine: TestEngine):
    with receivers.Syslog("udp") as receiver:
        container = run(
            engine, "syslog", "echo", "hi", syslog_address=receiver.address, cache_disabled="true"
        )
        receiver.wait(1)
        engine.wait(container)
    answer = engine.api.get(f"/containers/{container}/logs?stdout=1")
    assert answer.status == 501
    assert answer.message == "configured logging driver does not support reading"


def test_a_receiver_that_goes_and_comes_back_gets_everything(engine: TestEngine):
    port = free_port()
    script = "for i in $(seq 1 60); do echo $i; sleep 0.05; done"
    with receivers.Fluentd(port=port) as receiver:
        container = run(
            engine,
            "fluentd",
            "sh",
            "-c",
            script,
            fluentd_address=f"127.0.0.1:{port}",
            fluentd_retry_wait="100ms",
            fluentd_request_ack="true",
        )
        first = list(receiver.wait(5))
    time.sleep(0.5)
    with receivers.Fluentd(port=port) as receiver:
        engine.wait(container)
        eventually(lambda: receiver.messages and receiver.messages[-1][2]["log"] == "60")
        seen = [int(m[2]["log"]) for m in (*first, *receiver.messages)]
    assert sorted(set(seen)) == list(range(1, 61))
    assert seen == sorted(seen)
    assert len(seen) <= 62  # lines in transit when the connection broke are sent twice


def test_the_next_engine_continues_without_loss(own_engine: TestEngine):
    engine = own_engine
    script = "for i in $(seq 1 80); do echo $i; sleep 0.04; done"
    with receivers.Gelf("tcp") as receiver:
        container = run(engine, "gelf", "sh", "-c", script, gelf_address=receiver.address)
        short = run(engine, "gelf", "sh", "-c", "sleep 1; echo late", gelf_address=receiver.address)
        receiver.wait(10)
        with killed(engine):
            time.sleep(1.5)
        engine.wait(container)
        engine.wait(short)
        eventually(lambda: any(m["short_message"] == "80" for m in receiver.messages))
        eventually(lambda: any(m["short_message"] == "late" for m in receiver.messages))
        numbers = [
            int(m["short_message"])
            for m in receiver.messages
            if m["_container_id"] == container
        ]  # fmt: skip
        assert sorted(set(numbers)) == list(range(1, 81))
        assert len(numbers) < 80 + 15  # lines sent whose position was not saved yet
        time.sleep(0.5)  # until the position is saved
        count = len(receiver.messages)
        with killed(engine):
            pass
        time.sleep(0.5)
        assert len(receiver.messages) == count  # no line is sent again
    assert_quiet_log(engine)


def test_a_container_that_is_removed_at_its_end_has_sent_its_lines(engine: TestEngine):
    with receivers.Syslog("tcp") as receiver:
        host = {
            "AutoRemove": True,
            "LogConfig": {"Type": "syslog", "Config": {"syslog-address": receiver.address}},
        }
        for _ in range(5):
            engine.run("sh", "-c", "seq 1 200", host=host)
        messages = receiver.wait(1000)
    assert len(messages) == 1000
    eventually(lambda: engine.api.get("/containers/json?all=1").json == [])


def test_a_receiver_that_is_away_holds_up_nothing(engine: TestEngine):
    port = free_port()
    options = {
        "fluentd-address": f"127.0.0.1:{port}",
        "fluentd-async": "true",
        "fluentd-retry-wait": "100ms",
        "mode": "non-blocking",
        "max-buffer-size": "100k",
    }
    host = {"LogConfig": {"Type": "fluentd", "Config": options}}
    begun = time.monotonic()
    container = engine.run("seq", "1", "20000", host=host)
    assert engine.wait(container) == 0
    assert time.monotonic() - begun < 10
    assert logged(engine, container).endswith(b"20000\n")
    with receivers.Fluentd(port=port) as receiver:
        eventually(lambda: receiver.messages and receiver.messages[-1][2]["log"] == "20000")
        numbers = [int(m[2]["log"]) for m in receiver.messages]
    # The first batch was in transit already; of the rest, as much as the buffer holds is kept.
    assert 1000 < len(numbers) < 10_000
    engine.remove(container)


def test_many_lines_leave_the_engine_time_for_others():
    with running() as engine, receivers.Syslog("udp") as receiver:
        container = run(
            engine,
            "syslog",
            "sh",
            "-c",
            "yes some words of a line",
            syslog_address=receiver.address,
        )
        receiver.wait(1000)
        times = []
        for _ in range(50):
            begun = time.monotonic()
            assert engine.api.get("/_ping").status == 200
            times.append(time.monotonic() - begun)
        assert sorted(times)[25] < 0.1
        engine.remove(container)


def test_the_default_driver_of_the_engine():
    with receivers.Syslog("udp") as receiver:
        flags = ("--log-driver", "syslog", "--log-opt", f"syslog-address={receiver.address}")
        with running(*flags) as engine:
            engine.wait(engine.run("echo", "hello"))
            assert receiver.wait(1)[0].text == "hello"
            assert engine.api.get("/info").json["LoggingDriver"] == "syslog"


def test_a_restart_policy_needs_no_receiver(engine: TestEngine):
    port = free_port()
    options = {"fluentd-address": f"127.0.0.1:{port}", "fluentd-retry-wait": "100ms"}
    host = {
        "LogConfig": {"Type": "fluentd", "Config": options},
        "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
    }
    with receivers.Fluentd(port=port) as receiver:
        container = engine.run("sh", "-c", "echo once; exit 1", host=host)
        receiver.wait(1)
    eventually(lambda: engine.inspect(container)["RestartCount"] == 3)
    eventually(lambda: engine.inspect(container)["State"]["Status"] == "exited")
    with receivers.Fluentd(port=port) as receiver:
        eventually(lambda: len(receiver.messages) >= 1)
        assert logged(engine, container) == b"once\n" * 4
        assert {m[2]["log"] for m in receiver.messages} == {"once"}
    engine.remove(container)
