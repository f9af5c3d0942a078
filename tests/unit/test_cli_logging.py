"""The engine's log: formats, levels, and a reader that closes its end."""

import io
import json
import logging
import re

import pytest
import structlog

from palan.cli.logging import set_up_logging
from palan.engine.config import EngineConfig


@pytest.fixture(autouse=True)
def _restore_logging():
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    structlog.reset_defaults()
    root.handlers, root.level = handlers, level


def lines(*, config=None, terminal=False):
    stream = io.StringIO()
    stream.isatty = lambda: terminal  # type: ignore[method-assign]  # a terminal for this test
    set_up_logging(config or EngineConfig(), stream)
    return stream


def test_text_is_dockerds():
    out = lines()
    structlog.get_logger().warning("it is late", container="a b", count=3, yes=True)
    assert re.fullmatch(
        r'time=\S+ level=warning msg="it is late" (?=.*container="a b")(?=.*count=3).*\n',
        out.getvalue(),
    )


def test_text_takes_any_value():
    out = lines()
    structlog.get_logger().info("x", **{"a key": {"b": [1]}, "none": None, "path": 'a"b\n'})
    assert "a_key=" in out.getvalue()
    assert out.getvalue().count("\n") == 1


def test_json():
    out = lines(config=EngineConfig(log_format="json"))
    try:
        int("why")
    except ValueError:
        structlog.get_logger().exception("failed", path=object)
    record = json.loads(out.getvalue())
    assert record["level"] == "error"
    assert record["msg"] == "failed"
    assert record["time"].endswith("Z")
    assert "ValueError: invalid literal" in record["exception"]


def test_a_terminal_gets_short_lines():
    out = lines(terminal=True)
    structlog.get_logger().info("hello", a=1)
    assert "hello" in out.getvalue()
    assert "time=" not in out.getvalue()


def test_levels_follow_a_reload():
    out = lines()
    logger = structlog.get_logger()
    logger.debug("one")
    set_up_logging(EngineConfig(debug=True), out)
    logger.debug("two")
    set_up_logging(EngineConfig(log_level="error"), out)
    logger.warning("three")
    assert "one" not in out.getvalue()
    assert "two" in out.getvalue()
    assert "three" not in out.getvalue()


def test_the_standard_librarys_loggers_come_out_the_same_way():
    out = lines(config=EngineConfig(log_format="json"))
    logging.getLogger("asyncio").error("loop %s", "stuck")
    logging.getLogger("asyncio").info("chatter")
    (record,) = map(json.loads, out.getvalue().splitlines())
    assert (record["level"], record["msg"]) == ("error", "loop stuck")


def test_a_reader_that_goes_away_stops_nothing():
    class Broken(io.StringIO):
        def write(self, _text):
            raise BrokenPipeError

    set_up_logging(EngineConfig(), Broken())
    structlog.get_logger().error("nobody hears this")
