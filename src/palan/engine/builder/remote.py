"""Remote contexts: a Dockerfile or an archive at a URL, or a git repository."""

import http.client
import os
import re
import shutil
import subprocess
import urllib.error
from pathlib import Path
from typing import Final

from palan.api.errors import InternalError, InvalidParameter, NotFound, PalanError
from palan.engine.builder.build_context import receive
from palan.engine.images.fetch import Download, failure_reason, fetch
from palan.engine.threads import Incoming
from palan.host.archive.unpack import Abort


__all__ = ["Clone", "Fetched", "fetch_context", "is_git", "open_url"]

_MAX_BODY: Final = 4096
"""Bytes of a server's error response that are shown to the client."""

_MAX_DOCKERFILE: Final = 16 << 20
_PREAMBLE: Final = 100
"""Bytes by which text is distinguished from archives if the server names no type."""

_ACCEPTABLE: Final = re.compile(
    r"application/(?:(?:x-)?tar|octet-stream|(?:x-)?(?:gzip|bzip2?|xz))|text/plain"
)
_TEXT: Final = "text/plain"
_GIT_SUFFIX: Final = re.compile(r"\.git(?:#.+)?$")
_GIT_ENVIRONMENT: Final = {
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    # Neither local files, nor programs that an address names.
    "GIT_PROTOCOL_FROM_USER": "0",
}


class Fetched:
    """A downloaded context: either a Dockerfile, or an archive that was unpacked.

    Attributes:
        dockerfile: the Dockerfile; None if the context was an archive.
    """

    def __init__(self, dockerfile: bytes | None) -> None:
        self.dockerfile = dockerfile


def is_git(remote: str) -> bool:
    """Whether a remote context is a git repository."""
    if remote.startswith(("http://", "https://")):
        return _GIT_SUFFIX.search(remote) is not None
    return remote.startswith(("git://", "github.com/", "git@"))


def open_url(url: str) -> http.client.HTTPResponse:
    """Open a URL.  Blocking.

    Raises:
        PalanError: the request failed; in dockerd's words.
    """
    try:
        return fetch(url)
    except urllib.error.HTTPError as error:
        with error:
            text = error.read(_MAX_BODY).decode("utf-8", "replace").strip()
        message = f"failed to GET {url} with status {error.code} {error.reason}: {text}"
        kind: type[PalanError] = {404: NotFound, 400: InvalidParameter}.get(
            error.code, InternalError
        )
        raise kind(message) from None
    except ValueError as error:
        raise InvalidParameter(f'Get "{url}": {error}') from None
    except (OSError, http.client.HTTPException) as error:
        raise InternalError(f'Get "{url}": {failure_reason(url, error)}') from None


def fetch_context(url: str, root: Path, abort: Abort) -> Fetched:
    """Download a context.  Blocking.

    Args:
        url: the address of a Dockerfile or an archive.
        root: a directory to create, into which an archive is unpacked.
        abort: ends the unpacking.

    Raises:
        PalanError: the download failed, or is neither of both.
    """
    try:
        response = open_url(url)
    except PalanError as error:
        raise type(error)(f"error downloading remote context {url}: {error.message}") from None
    with response:
        try:
            head = response.read(_PREAMBLE)
            kind = _kind(url, response.headers.get("Content-Type", ""), head)
            if kind == _TEXT:
                data = head + response.read(_MAX_DOCKERFILE + 1 - len(head))
                if len(data) > _MAX_DOCKERFILE:
                    raise InvalidParameter(f"the Dockerfile at {url} is too large")
                return Fetched(data)
            receive(_after(head, Download(response)), root, abort)
        except (OSError, http.client.HTTPException) as error:
            raise InternalError(
                f"error downloading remote context {url}: {failure_reason(url, error)}"
            ) from None
    return Fetched(None)


def _after(head: bytes, rest: Incoming) -> Incoming:
    class _Whole:
        def __init__(self) -> None:
            self._head = head

        def __call__(self) -> bytes:
            first, self._head = self._head, b""
            return first or rest()

        def abort(self) -> None:
            rest.abort()

    return _Whole()


def _kind(url: str, said: str, head: bytes) -> str:
    """Return the media type of a response, from its header or else from its first bytes."""
    problem = f"error detecting content type for remote {url}: "
    if not head:
        raise InvalidParameter(f"{problem}empty response")
    said = said.partition(";")[0].strip()
    if said in ("", "application/octet-stream"):
        return "application/octet-stream" if _is_binary(head) else _TEXT
    match = _ACCEPTABLE.search(said)
    if match is None:
        raise InvalidParameter(f'{problem}unsupported Content-Type "{said}"')
    return match[0]


def _is_binary(head: bytes) -> bool:
    """Whether the bytes have control characters that do not occur in text."""
    return any(byte < 0x20 and byte not in b"\t\n\f\r\x1b" for byte in head)


# ---- git ------------------------------------------------------------------------------


class Clone:
    """Clones a git repository; can be aborted."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._aborted = False

    def abort(self) -> None:
        """Kill the running git; from any thread."""
        self._aborted = True
        if self._process is not None:
            self._process.kill()

    def run(self, remote: str, root: Path) -> Path:
        """Clone the repository.  Blocking.

        Args:
            remote: its address, optionally with ``#branch:directory``.
            root: a directory to create for the repository.

        Returns:
            The directory in it that is the context.

        Raises:
            InvalidParameter: the address is malformed, or the repository has no such branch
                or directory.
            InternalError: git is not installed.
        """
        if shutil.which("git") is None:
            raise InternalError(
                "unable to prepare the build context: the engine needs the program git for"
                f" {remote}, and it is not installed"
            )
        if not remote.startswith(("http://", "https://", "git://", "git@")):
            remote = f"https://{remote}"
        address, _, fragment = remote.partition("#")
        branch, _, directory = fragment.partition(":")
        branch = branch or "master"
        if branch.startswith("-"):
            raise InvalidParameter(f"invalid refspec: {branch}")
        root.mkdir(mode=0o755)
        self._git(root, "init", "--quiet")
        self._git(root, "remote", "add", "origin", address)
        try:
            self._git(root, "fetch", "--quiet", "--depth", "1", "origin", "--", branch)
        except InvalidParameter:
            # Some servers do not support shallow clones.
            self._git(root, "fetch", "--quiet", "origin", "--", branch)
        # A commit cannot be fetched like a branch.
        self._git(root, "checkout", "--quiet", "FETCH_HEAD")
        self._git(root, "submodule", "update", "--init", "--recursive", "--depth=1")
        inside = Path(os.path.realpath(root / directory.lstrip("/")))
        if not inside.is_relative_to(os.path.realpath(root)):
            raise InvalidParameter(f'error setting git context, "{directory}" not within git root')
        if not inside.is_dir():
            raise InvalidParameter(f"error setting git context, not a directory: {directory}")
        return inside

    def _git(self, directory: Path, *arguments: str) -> None:
        proxies = {
            name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")
        }
        environment = {**_GIT_ENVIRONMENT, "PATH": os.environ.get("PATH", os.defpath), **proxies}
        self._process = subprocess.Popen(
            ["git", "-c", "protocol.file.allow=never", *arguments],
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        if self._aborted:
            self._process.kill()
        output, _ = self._process.communicate()
        if self._process.returncode:
            text = output.decode("utf-8", "replace").strip()
            doing = "fetching" if arguments[0] == "fetch" else f"with git {arguments[0]}"
            raise InvalidParameter(f"error {doing}: {text}")
