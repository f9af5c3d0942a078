"""Translation of OCI runtimes' error messages into those that clients of dockerd know.

Clients of Docker's API search messages for phrases of runc, such as ``executable file not found
in $PATH``; crun words the same errors differently. :func:`explain` turns both into the wording of
dockerd 29 with its runc, and returns the matching exit code.
"""

import re
from collections.abc import Callable
from typing import Final, NamedTuple


__all__ = ["Explanation", "explain", "mount_refused"]

CREATE: Final = (
    "failed to create task for container: failed to create shim task: OCI runtime create failed: "
)
EXEC: Final = "OCI runtime exec failed: "

NOT_EXECUTABLE: Final = 126
NOT_FOUND: Final = 127
OTHER: Final = 128

_LOGRUS: Final = re.compile(r'^time="[^"]*" level=\w+ msg="((?:[^"\\]|\\.)*)"')
# In the order of their numbers (setrlimit(2)).
_RLIMITS: Final = (
    "RLIMIT_CPU",
    "RLIMIT_FSIZE",
    "RLIMIT_DATA",
    "RLIMIT_STACK",
    "RLIMIT_CORE",
    "RLIMIT_RSS",
    "RLIMIT_NPROC",
    "RLIMIT_NOFILE",
    "RLIMIT_MEMLOCK",
    "RLIMIT_AS",
    "RLIMIT_LOCKS",
    "RLIMIT_SIGPENDING",
    "RLIMIT_MSGQUEUE",
    "RLIMIT_NICE",
    "RLIMIT_RTPRIO",
    "RLIMIT_RTTIME",
)
_MAY_NOT_BE_RUN: Final = ("permission denied", "file name too long", "argument list too long")
_START: Final = "unable to start container process: "
_INIT: Final = "error during container init: "
_MOUNT_HINT: Final = (
    ": Are you trying to mount a directory onto a file (or vice-versa)? "
    "Check if the specified host path exists and is the expected type"
)


class Explanation(NamedTuple):
    """The reason why a process could not be started.

    Attributes:
        exit_code: 127 if something was not found, 126 if it may not be executed, 128 otherwise.
        message: in dockerd's wording.
    """

    exit_code: int
    message: str

    @property
    def is_request_error(self) -> bool:
        """Whether the request was at fault, rather than the engine or the machine."""
        return self.exit_code != OTHER


def explain(text: str, *, program: str = "", is_exec: bool = False) -> Explanation:
    """Explain in dockerd's wording why a process could not be started.

    Args:
        text: the runtime's error message.
        program: the first argument of the process.
        is_exec: the process was an exec in a running container.
    """
    words = text.strip().removeprefix("crun: ")
    if match := _LOGRUS.match(words.rpartition("\n")[2]):
        words = re.sub(r"\\(.)", r"\1", match[1])
    stage = "exec failed: " if is_exec else "runc create failed: "
    if words.startswith(stage):
        words = _from_runc(words.removeprefix(stage), is_exec=is_exec)
    else:
        words = _from_crun(words, program, is_exec=is_exec)
    message = (EXEC if is_exec else CREATE) + stage + words
    if any(reason in message for reason in _MAY_NOT_BE_RUN):
        return Explanation(NOT_EXECUTABLE, message)
    if "not a directory" in message:
        return Explanation(NOT_FOUND, message + _MOUNT_HINT)
    if "executable file not found" in message or "no such file or directory" in message:
        return Explanation(NOT_FOUND, message)
    return Explanation(OTHER, message)


def mount_refused(source: str, destination: str, reason: str) -> str:
    """Return dockerd's message for a mount that runc refuses."""
    mount = f'error mounting "{source}" to rootfs at "{destination}": {reason}'
    return f"{CREATE}runc create failed: {_START}{_INIT}{mount}"


def _from_runc(words: str, *, is_exec: bool) -> str:
    # Since 1.2 runc names the stage in which it found that the program does not exist.
    if words.startswith(_START + "exec: ") and not is_exec:
        return _START + _INIT + words.removeprefix(_START)
    return words


def _from_crun(words: str, program: str, *, is_exec: bool) -> str:
    begin = _START if is_exec else _START + _INIT
    for pattern, translate in _CRUN:
        if match := pattern.search(words):
            return translate(match, begin, program)
    return _START + _lower(words)


def _chdir(match: re.Match[str], begin: str, _: str) -> str:
    reason = _lower(match[2])
    return f'{begin}chdir to cwd ("{match[1]}") set in config.json failed: {reason}'


def _setrlimit(match: re.Match[str], begin: str, _: str) -> str:
    kind = _RLIMITS.index(match[1]) if match[1] in _RLIMITS else match[1]
    what = f"error setting rlimit type {kind}: {_lower(match[2])}"
    return f"{begin}error setting rlimits for ready process: {what}"


def _mount(match: re.Match[str], begin: str, _: str) -> str:
    reason = _lower(match[3])
    return f'{begin}error mounting "{match[1]}" to rootfs at "/{match[2]}": {reason}'


def _mount_source(match: re.Match[str], begin: str, _: str) -> str:
    return f'{begin}error mounting "{match[1]}": stat {match[1]}: {_lower(match[2])}'


def _not_found(program: str) -> str:
    if "/" in program:
        return f'exec: "{program}": stat {program}: no such file or directory'
    return f'exec: "{program}": executable file not found in $PATH'


def _not_opened(program: str, reason: str) -> str:
    if not program:
        return 'exec: "": executable file not found in $PATH'
    if reason == "Operation not permitted":  # crun's message for a file that is not regular
        return f'exec: "{program}": is a directory: permission denied'
    if reason == "Not a directory":
        return f'exec: "{program}": stat {program}: not a directory'
    return f'exec: "{program}": {_lower(reason)}'


def _lower(words: str) -> str:
    """Return an error text of the C library as Go writes it: in lower case at the beginning."""
    head, colon, reason = words.rpartition(": ")
    return f"{head}{colon}{reason[:1].lower()}{reason[1:]}"


_CRUN: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str], str, str], str]], ...]] = (
    (
        re.compile(r"executable file `(.*)` not found", re.DOTALL),
        lambda match, begin, _: begin + _not_found(match[1]),
    ),
    (
        re.compile(r"open executable: (.*)", re.DOTALL),
        lambda match, begin, program: begin + _not_opened(program, match[1]),
    ),
    (re.compile(r"ch(?:dir|ange directory)(?: to)? `(.*)`: (.*)", re.DOTALL), _chdir),
    (
        re.compile(r"the sysctl `(.*)` is not namespaced"),
        lambda match, *_: f'sysctl "{match[1]}" is not in a separate kernel namespace',
    ),
    (
        re.compile(r"invalid rlimit `(.*)`"),
        lambda match, *_: f"wrong rlimit value: {match[1]}",
    ),
    (re.compile(r"setrlimit `(.*)`: (.*)"), _setrlimit),
    (re.compile(r"mount `(.*)` to `/?(.*)`: (.*)", re.DOTALL), _mount),
    (re.compile(r"error stat'ing file `(.*)`: (.*)", re.DOTALL), _mount_source),
)
