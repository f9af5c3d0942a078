"""The messages that each log driver sends, as a receiver parses them."""

import ssl
import subprocess
from dataclasses import replace

import pytest
from tests.support import receivers

from palan.api.containers import LogConfig
from palan.api.errors import InvalidParameter
from palan.engine.logdrivers.driver import Origin
from palan.engine.logdrivers.drivers import SHIPPING
from palan.engine.logdrivers.entry import Entry, Partial
from palan.engine.logdrivers.journald import JournalSink


TIME = 1_795_438_800_123_456_789
LINES = [Entry(TIME, "stdout", b"hello"), Entry(TIME + 10**9, "stderr", "wörld".encode())]


def origin(tag="web/1", **options):
    return Origin(
        id="ab" * 32,
        name="web",
        image_id="sha256:" + "cd" * 32,
        image_name="nginx:1",
        command="nginx -g daemon off;",
        created="2026-11-23T13:00:00Z",
        hostname="box",
        tag=tag,
        extra={"tier": "front"},
        options={name.replace("_", "-"): value for name, value in options.items()},
    )


async def send(driver, entries=LINES, *, given=None, **options):
    sink = SHIPPING[driver].sink(given or origin(**options))
    try:
        await sink.open()
        await sink.send(entries)
    finally:
        await sink.close()


# ---- syslog ------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["udp", "tcp", "unix", "unixgram"])
async def test_syslog_transports(tmp_path, scheme):
    path = tmp_path / "log" if scheme.startswith("unix") else None
    with receivers.Syslog(scheme, path) as receiver:
        await send("syslog", syslog_address=receiver.address, syslog_facility="local3")
        first, second = receiver.wait(2)
    assert (first.facility, first.severity, first.text) == (19, 6, "hello")
    assert (second.severity, second.text) == (3, "wörld")


@pytest.mark.parametrize(
    ("form", "start"),
    [
        ("", "Nov 23 13:00:00 web/1["),
        ("rfc3164", "Nov 23 13:00:00 box web/1["),
        ("rfc5424", "2026-11-23T13:00:00Z box web/1 "),
        ("rfc5424micro", "2026-11-23T13:00:00.123456Z box web/1 "),
    ],
)
async def test_syslog_formats(monkeypatch, form, start):
    monkeypatch.setenv("TZ", "UTC")
    with receivers.Syslog("udp") as receiver:
        await send("syslog", syslog_address=receiver.address, syslog_format=form)
        message = receiver.wait(2)[0]
    assert message.facility == 3
    assert message.rest.startswith(start)
    assert message.text == "hello"
    if form.startswith("rfc5424"):
        assert message.rest.endswith(" web/1 -")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tls")
    key, cert = directory / "key.pem", directory / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=splunk.test",
         "-addext", "subjectAltName=IP:127.0.0.1,DNS:splunk.test"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, str(cert)


@pytest.mark.parametrize("form", ["", "rfc5424"])
async def test_syslog_over_tls(certificate, form):
    context, cert = certificate
    counted = form == "rfc5424"
    with receivers.Syslog("tcp+tls", tls=context, counted=counted) as receiver:
        options = {"syslog_address": receiver.address, "syslog_format": form}
        await send("syslog", **options, syslog_tls_ca_cert=cert)
        assert [m.text for m in receiver.wait(2)] == ["hello", "wörld"]
        with pytest.raises(OSError, match="failed to verify certificate"):
            await send("syslog", **options)
        await send("syslog", **options, syslog_tls_skip_verify="")
        assert len(receiver.wait(4)) == 4
        with pytest.raises(OSError, match="could not read"):
            await send("syslog", **options, syslog_tls_ca_cert="/no/such/file")


async def test_syslog_without_anybody():
    with pytest.raises(OSError, match=r"dial tcp 127.0.0.1:1: connection refused"):
        await send("syslog", syslog_address="tcp://127.0.0.1:1")
    await send(
        "syslog", syslog_address="udp://127.0.0.1:1"
    )  # without a receiver, datagrams are lost silently


# ---- gelf --------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["gzip", "zlib", "none"])
async def test_gelf_over_udp(form):
    with receivers.Gelf("udp") as receiver:
        await send("gelf", gelf_address=receiver.address, gelf_compression_type=form)
        first, second = receiver.wait(2)
        assert receiver.forms == {form}
    assert first == {
        "version": "1.1",
        "host": "box",
        "short_message": "hello",
        "timestamp": 1795438800.123,
        "level": 6,
        "_container_id": "ab" * 32,
        "_container_name": "web",
        "_image_id": "sha256:" + "cd" * 32,
        "_image_name": "nginx:1",
        "_command": "nginx -g daemon off;",
        "_tag": "web/1",
        "_created": "2026-11-23T13:00:00Z",
        "tier": "front",
    }
    assert (second["level"], second["short_message"]) == (3, "wörld")


async def test_gelf_sends_large_messages_in_chunks():
    import random

    text = bytes(random.Random(1).choices(range(33, 126), k=16000))  # incompressible text
    with receivers.Gelf("udp") as receiver:
        await send("gelf", [Entry(TIME, "stdout", text)], gelf_address=receiver.address)
        (message,) = receiver.wait(1)
        assert receiver.chunked == 1
    assert message["short_message"].encode() == text


async def test_gelf_over_tcp():
    with receivers.Gelf("tcp") as receiver:
        await send("gelf", gelf_address=receiver.address)
        assert [m["short_message"] for m in receiver.wait(2)] == ["hello", "wörld"]
    with pytest.raises(OSError, match="cannot connect to GELF endpoint"):
        await send("gelf", gelf_address=receiver.address)


# ---- fluentd -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["tcp", "unix"])
async def test_fluentd(tmp_path, kind):
    with receivers.Fluentd(tmp_path / "fluent" if kind == "unix" else None) as receiver:
        await send("fluentd", fluentd_address=receiver.address)
        first, second = receiver.wait(2)
    assert first == [
        "web/1",
        TIME // 10**9,
        {
            "container_id": "ab" * 32,
            "container_name": "/web",
            "source": "stdout",
            "log": "hello",
            "tier": "front",
        },
        {},
    ]
    assert (second[2]["source"], second[2]["log"]) == ("stderr", "wörld")


async def test_fluentd_precise_times_pieces_and_acknowledgements():
    piece = Entry(TIME, "stdout", b"part", Partial("f" * 64, 2, last=True))
    options = {"fluentd_sub_second_precision": "true", "fluentd_request_ack": "true"}
    with receivers.Fluentd() as receiver:
        await send("fluentd", [piece], fluentd_address=receiver.address, **options)
        (message,) = receiver.wait(1)
        assert receiver.acknowledged == 1
        receiver.silent = True
        with pytest.raises(OSError, match="does not acknowledge"):
            await send(
                "fluentd",
                [piece],
                fluentd_address=receiver.address,
                fluentd_read_timeout="50ms",
                **options,
            )
    assert message[1].code == 0
    seconds, nanoseconds = message[1].data[:4], message[1].data[4:]
    assert int.from_bytes(seconds, "big") * 10**9 + int.from_bytes(nanoseconds, "big") == TIME
    assert message[2]["partial_message"] == "true"
    assert message[2]["partial_ordinal"] == "2"
    assert message[2]["partial_last"] == "true"


async def test_fluentd_may_start_later():
    sink = SHIPPING["fluentd"].sink(origin(fluentd_async="true", fluentd_retry_wait="250ms"))
    assert not sink.must_connect
    assert sink.retry.first == 0.25
    assert SHIPPING["fluentd"].sink(origin()).must_connect
    config = LogConfig(type="fluentd", config={"fluentd-buffer-limit": "1m"})
    assert "no effect" in SHIPPING["fluentd"].warnings(config)[0]


# ---- splunk ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "event"),
    [
        ("inline", {"line": '{"a":1}', "source": "stdout", "tag": "web/1",
                    "attrs": {"tier": "front"}}),
        ("json", {"line": {"a": 1}, "source": "stdout", "tag": "web/1",
                  "attrs": {"tier": "front"}}),
        ("raw", 'web/1 tier=front {"a":1}'),
    ],
)  # fmt: skip
@pytest.mark.parametrize("packed", ["true", "false"])
async def test_splunk(form, event, packed):
    entries = [Entry(TIME, "stdout", b'{"a":1}'), Entry(TIME, "stdout", b"  ")]
    with receivers.Splunk() as receiver:
        await send(
            "splunk",
            entries,
            splunk_url=receiver.address,
            splunk_token="secret",
            splunk_format=form,
            splunk_gzip=packed,
            splunk_index="main",
            splunk_index_acknowledgment="true",
        )
        messages = receiver.wait(1 if form == "raw" else 2)
    assert messages[0] == {
        "event": event,
        "time": "1795438800.123456",
        "host": "box",
        "index": "main",
    }
    (method, path, headers), post = receiver.requests
    assert (method, path) == ("OPTIONS", "/services/collector/event/1.0")
    assert headers["Authorization"] == "Splunk secret"
    assert post[2]["X-Splunk-Request-Channel"]


async def test_splunk_that_refuses_or_is_not_there(certificate):
    with receivers.Splunk(status=403) as receiver:
        options = {"splunk_url": receiver.address, "splunk_token": "wrong"}
        with pytest.raises(OSError, match="failed to verify connection - 403"):
            await send("splunk", **options)
        with pytest.raises(OSError, match="failed to send event - 403"):
            await send("splunk", **options, splunk_verify_connection="false")
    with pytest.raises(OSError, match="refused"):
        await send("splunk", **options)
    context, cert = certificate
    with receivers.Splunk(tls=context) as receiver:
        options = {"splunk_url": receiver.address, "splunk_token": "x"}
        with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
            await send("splunk", **options)
        await send("splunk", **options, splunk_insecureskipverify="true")
        await send("splunk", **options, splunk_capath=cert, splunk_caname="splunk.test")
        assert len(receiver.wait(4)) == 4
        with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
            await send("splunk", **options, splunk_capath=cert, splunk_caname="other.test")


async def test_splunk_without_a_tag():
    with receivers.Splunk() as receiver:
        given = replace(origin(splunk_url=receiver.address, splunk_token="x", tag=""), tag="id")
        given = replace(given, options={**given.options, "tag": ""})
        await send("splunk", given=given)
        assert "tag" not in receiver.wait(2)[0]["event"]


# ---- journald ----------------------------------------------------------------------


async def test_journald(tmp_path):
    path = tmp_path / "journal"
    lines = [
        *LINES,
        Entry(TIME, "stdout", b"piece", Partial("f" * 64, 1, last=False)),
        Entry(TIME, "stdout", b"x" * 3_000_000),
    ]
    with receivers.Journal(path) as receiver:
        driver = SHIPPING["journald"]
        extra = {driver.rename("com.x-tier"): "a\nb"}
        sink = JournalSink(replace(origin(), extra=extra), str(path))
        await sink.open()
        await sink.send(lines)
        await sink.close()
        first, second, third, large = receiver.wait(4)
        assert receiver.files == 1
    assert first["MESSAGE"] == "hello"
    assert first["PRIORITY"] == "6"
    assert first["CONTAINER_ID"] == "ab" * 6
    assert first["CONTAINER_ID_FULL"] == "ab" * 32
    assert first["CONTAINER_NAME"] == "web"
    assert first["CONTAINER_TAG"] == first["SYSLOG_IDENTIFIER"] == "web/1"
    assert first["IMAGE_NAME"] == "nginx:1"
    assert first["COM_X_TIER"] == "a\nb"
    assert first["SYSLOG_TIMESTAMP"] == "2026-11-23T13:00:00.123456789Z"
    assert second["PRIORITY"] == "3"
    assert [m["CONTAINER_LOG_ORDINAL"] for m in (first, second, third, large)] == list("1234")
    assert third["CONTAINER_PARTIAL_MESSAGE"] == "true"
    assert third["CONTAINER_PARTIAL_LAST"] == "false"
    assert len(large["MESSAGE"]) == 3_000_000
    with pytest.raises(OSError, match="journald is not enabled on this host"):
        await JournalSink(origin(), str(tmp_path / "absent")).open()


# ---- validation --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("driver", "options", "words"),
    [
        ("syslog", {"syslog-address": "http://x"}, "unsupported scheme: 'http'"),
        ("syslog", {"syslog-address": "unix:///no/such"}, "no such file or directory"),
        ("syslog", {"syslog-facility": "loud"}, "invalid syslog facility"),
        ("syslog", {"syslog-facility": "24"}, "invalid syslog facility"),
        ("syslog", {"syslog-format": "rfc1"}, "Invalid syslog format"),
        ("syslog", {"syslog-address": "udp://x:99999999"}, "parse"),
        ("gelf", {}, "gelf-address is a required parameter"),
        ("gelf", {"gelf-address": "http://x:1"}, "gelf: endpoint needs to be TCP or UDP"),
        ("gelf", {"gelf-address": "udp://x"}, "gelf: please provide gelf-address"),
        ("gelf", {"gelf-address": "tcp://x:1", "gelf-compression-type": "gzip"}, "only supported"),
        ("gelf", {"gelf-address": "udp://x:1", "gelf-compression-type": "lz4"}, "unknown value"),
        ("gelf", {"gelf-address": "udp://x:1", "gelf-compression-level": "10"}, "unknown value"),
        ("gelf", {"gelf-address": "udp://x:1", "gelf-tcp-max-reconnect": "1"}, "only valid for"),
        ("gelf", {"gelf-address": "tcp://x:1", "gelf-tcp-max-reconnect": "-1"}, "positive"),
        ("fluentd", {"fluentd-address": "ftp://x"}, "unsupported scheme: 'ftp'"),
        ("fluentd", {"fluentd-address": "unix://"}, "path is empty"),
        ("fluentd", {"fluentd-address": "tcp://x/y"}, "should not contain a path element"),
        ("fluentd", {"fluentd-buffer-limit": "lots"}, "invalid size: 'lots'"),
        ("fluentd", {"fluentd-retry-wait": "5"}, 'time: missing unit in duration "5"'),
        ("fluentd", {"fluentd-max-retries": "-1"}, "ParseUint"),
        ("fluentd", {"fluentd-max-retries": "4294967296"}, "value out of range"),
        ("fluentd", {"fluentd-async": "maybe"}, "ParseBool"),
        ("fluentd", {"fluentd-async-reconnect-interval": "1ms"}, "must be between 100ms and 10s"),
        ("fluentd", {"fluentd-write-timeout": "-1s"}, "non-negative"),
        ("splunk", {}, "splunk: splunk-url is expected"),
        ("splunk", {"splunk-url": "http://x:1"}, "splunk: splunk-token is expected"),
        ("splunk", {"splunk-url": "x:1", "splunk-token": "t"}, "expected format scheme"),
        ("splunk", {"splunk-url": "http://x/y", "splunk-token": "t"}, "expected format scheme"),
        ("splunk", {"splunk-url": "http://x", "splunk-token": "t", "splunk-format": "xml"},
         "unknown format specified xml"),
        ("splunk", {"splunk-url": "http://x", "splunk-token": "t", "splunk-gzip-level": "11"},
         "not supported level '11'"),
        ("splunk", {"splunk-url": "http://x", "splunk-token": "t", "splunk-gzip": "x"},
         "ParseBool"),
        ("splunk", {"splunk-url": "http://x", "splunk-token": "a\r\nb: c"}, "can't be sent"),
    ],
)  # fmt: skip
def test_invalid_options_are_refused(driver, options, words):
    with pytest.raises(InvalidParameter) as failure:
        SHIPPING[driver].check(options)
    assert words in failure.value.message


@pytest.mark.parametrize(
    ("driver", "options"),
    [
        ("syslog", {}),
        ("syslog", {"syslog-address": "tcp://[::1]:5140", "syslog-facility": "23"}),
        ("syslog", {"syslog-address": "udp://x", "syslog-facility": "local7"}),
        ("gelf", {"gelf-address": "tcp://x:1", "gelf-tcp-max-reconnect": "0"}),
        ("gelf", {"gelf-address": "udp://[::1]:12201", "gelf-compression-level": "-1"}),
        ("fluentd", {}),
        ("fluentd", {"fluentd-address": "x:1", "fluentd-async-reconnect-interval": "0"}),
        ("fluentd", {"fluentd-address": "tls://x", "fluentd-max-retries": "7"}),
        ("splunk", {"splunk-url": "https://x:8088/", "splunk-token": "t"}),
        ("journald", {}),
    ],
)
def test_valid_options_are_accepted(driver, options):
    SHIPPING[driver].check(options)
