"""Remote contexts: a Dockerfile or an archive at a URL, or a git repository."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from palan.api.errors import InternalError, InvalidParameter, PalanError
from palan.engine.builder.build_context import receive
from palan.engine.images.fetch import Download, open_url, redacted
from palan.host.archive.unpack import Abort


__all__ = ["Clone", "Fetched", "fetch_context", "is_git", "open_context"]

_MAX_DOCKERFILE: Final = 16 << 20
_PREAMBLE: Final = 100
"""Bytes by which text is distinguished from archives if the server names no type."""

_ACCEPTABLE: Final = re.compile(
    r"application/(?:(?:x-)?tar|octet-stream|(?:x-)?(?:gzip|bzip2?|xz))|text/plain"
)
_TEXT: Final = "text/plain"
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
        return remote.endswith(".git") or ".git#" in remote[:-1]
    return remote.startswith(("git://", "github.com/", "git@"))


def fetch_context(download: Download, root: Path, abort: Abort) -> Fetched:
    """Download a context.  Blocking.

    Args:
        download: a Dockerfile or an archive.
        root: a directory to create, into which an archive is unpacked.
        abort: ends the unpacking.

    Raises:
        PalanError: the download failed, or is neither of both.
    """
    try:
        head = download.head(_PREAMBLE)
        kind = _kind(download.url, download.headers.get("Content-Type", ""), head)
        if kind == _TEXT:
            return Fetched(_dockerfile(download))
        receive(download, root, abort)
    except OSError as error:
        raise InternalError(
            f"error downloading remote context {download.url}: {error.strerror or error}"
        ) from None
    return Fetched(None)


def open_context(url: str) -> Download:
    """Open the URL of a context.  Blocking.

    Raises:
        PalanError: the request failed.
    """
    try:
        return open_url(url)
    except PalanError as error:
        raise type(error)(
            f"error downloading remote context {redacted(url)}: {error.message}"
        ) from None


def _dockerfile(download: Download) -> bytes:
    parts, size = [], 0
    while piece := download():
        parts.append(piece)
        size += len(piece)
        if size > _MAX_DOCKERFILE:
            raise InvalidParameter(f"the Dockerfile at {download.url} is too large")
    return b"".join(parts)


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
        self._address = ""

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
                f" {redacted(remote)}, and it is not installed"
            )
        if not remote.startswith(("http://", "https://", "git://", "git@")):
            remote = f"https://{remote}"
        address, _, fragment = remote.partition("#")
        self._address = address
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
            text = self._without_password(output.decode("utf-8", "replace").strip())
            doing = "fetching" if arguments[0] == "fetch" else f"with git {arguments[0]}"
            raise InvalidParameter(f"error {doing}: {text}")

    def _without_password(self, text: str) -> str:
        """Return output of git without the password of the repository's address."""
        text = text.replace(self._address, redacted(self._address))
        user, at, _ = self._address.partition("://")[2].partition("/")[0].rpartition("@")
        password = user.partition(":")[2]
        return text.replace(f"{user}@", "") if at and password else text
