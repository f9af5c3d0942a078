"""The engine's own log: to standard error, as text or JSON, with structlog.

Modules log with ``structlog.get_logger(__name__)``; this module decides how the lines look.
A person at a terminal gets short coloured lines, a journal gets dockerd's
``time= level= msg=`` lines, a collector JSON with the same three keys.  Records that libraries
log with the standard library come out the same way.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final, TextIO

import structlog

from palan.engine.config import EngineConfig


__all__ = ["set_up_logging"]

_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
}


class _UnfailingStream:
    """A stream that ignores errors: the engine continues if the reader of its log has ended."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        try:
            self._stream.write(text)
        except (OSError, ValueError):
            return

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            return


class _StructlogHandler(logging.Handler):
    """Passes records of the standard library's loggers on to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        logger = structlog.get_logger(record.name)
        logger.log(record.levelno, record.getMessage(), exc_info=record.exc_info or None)


def set_up_logging(config: EngineConfig, stream: TextIO | None = None) -> None:
    """Set up the log as the configuration demands; called again after a reload.

    Args:
        config: its ``debug``, ``log_level``, ``log_format`` and ``raw_logs`` count.
        stream: where to write, standard error by default.
    """
    stream = stream or sys.stderr
    level = logging.DEBUG if config.debug else _LEVELS[config.log_level]
    structlog.configure(
        processors=_processors(config, terminal=stream.isatty()),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=_UnfailingStream(stream)),  # type: ignore[arg-type]  # write and flush are all it uses
        # A reload may change the level; cached loggers would keep the old one.
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [_StructlogHandler()]
    # Of the records of libraries, only warnings and errors concern the engine's operator.
    root.setLevel(max(level, logging.WARNING))


def _processors(config: EngineConfig, *, terminal: bool) -> list[structlog.typing.Processor]:
    common: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
    ]
    if config.log_format == "text" and terminal and not config.raw_logs:
        return [
            *common,
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(
                exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
            ),
        ]
    common += [
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
        _rename_to_dockerd_keys,
    ]
    if config.log_format == "json":
        return [*common, structlog.processors.JSONRenderer(default=str)]
    return [
        *common,
        _values_as_text,
        structlog.processors.LogfmtRenderer(key_order=["time", "level", "msg"], bool_as_flag=False),
    ]


def _rename_to_dockerd_keys(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    event["msg"] = event.pop("event", "")
    return event


def _values_as_text(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    # logfmt has only text values, and keys without spaces.
    return {
        "_".join(key.split()): value if isinstance(value, str | bool) else str(value)
        for key, value in event.items()
    }
