"""What containers write and read: log files, followers, attached clients.

``logfile`` takes conmon's log format apart and makes frames of it, without any I/O;
``logsource`` finds places in it (the last lines, a time) across rotated files, and ``logs``
reads and follows.  ``attach`` connects clients with conmon's attach socket, with
``detach_keys`` watching for the keys that let go.
"""

from palan.api.detach_keys import DEFAULT_KEYS, DetachKeys, parse_keys
from palan.engine.streams.attach import AttachPoint, AttachSession, OutputSession
from palan.engine.streams.logfile import LogFramer, LogOptions
from palan.engine.streams.logs import LogQuery, parse_tail, read_logs


__all__ = [
    "DEFAULT_KEYS",
    "AttachPoint",
    "AttachSession",
    "DetachKeys",
    "LogFramer",
    "LogOptions",
    "LogQuery",
    "OutputSession",
    "parse_keys",
    "parse_tail",
    "read_logs",
]
