"""The engine's own log: to standard error, as text or JSON, with structlog.

Modules log with ``structlog.get_logger(__name__)``; here it is decided what becomes of
that.  A person at a terminal gets short coloured lines, a journal gets dockerd's
``time= level= msg=`` lines, a collector JSON with the same three keys.  What libraries
log with the standard library comes out the same way.
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


class _Sturdy:
    """A stream whose reader may go away: losing the log must not stop the engine."""

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


class _ToStructlog(logging.Handler):
    """Hands records of the standard library's loggers to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        logger = structlog.get_logger(record.name)
        logger.log(record.levelno, record.getMessage(), exc_info=record.exc_info or None)


def set_up_logging(config: EngineConfig, stream: TextIO | None = None) -> None:
    """Send the log where the configuration says; called again when that changes.

    Args:
        config: its ``debug``, ``log_level``, ``log_format`` and ``raw_logs`` count.
        stream: where to write, standard error by default.
    """
    stream = stream or sys.stderr
    level = logging.DEBUG if config.debug else _LEVELS[config.log_level]
    structlog.configure(
        processors=_processors(config, terminal=stream.isatty()),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=_Sturdy(stream)),  # type: ignore[arg-type]  # write and flush are all it uses
        # A reload may change the level, which loggers remembered from before would not notice.
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [_ToStructlog()]
    # Libraries tell what is interesting to them; of the engine's, only warnings are.
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
        _dockerd_names,
    ]
    if config.log_format == "json":
        return [*common, structlog.processors.JSONRenderer(default=str)]
    return [
        *common,
        _plain_values,
        structlog.processors.LogfmtRenderer(key_order=["time", "level", "msg"], bool_as_flag=False),
    ]


def _dockerd_names(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    event["msg"] = event.pop("event", "")
    return event


def _plain_values(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    # logfmt knows text only, and keys without spaces.
    return {
        "_".join(key.split()): value if isinstance(value, str | bool) else str(value)
        for key, value in event.items()
    }
