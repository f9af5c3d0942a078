"""Input and output of containers: log files and attached clients.

``logfile`` parses conmon's log format and makes frames of it, without any I/O; ``logsource``
finds positions in a log (the last lines, a time) across rotated files, ``segments`` numbers,
trims and compresses these files, and ``logs`` reads and follows a log.  ``attach`` connects
clients to conmon's attach socket, whose packets ``packets`` turns into frames.
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
