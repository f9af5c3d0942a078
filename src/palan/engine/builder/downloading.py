"""``ADD`` of a URL: downloads the file."""

import email.message
import email.utils
import os
import posixpath
import urllib.parse
from pathlib import Path

from palan.api.build import JSONMessage, ProgressDetail
from palan.api.errors import InternalError, InvalidParameter
from palan.engine.builder.checksums import Checksums
from palan.engine.builder.output import Output
from palan.engine.builder.selection import Picked
from palan.engine.images.fetch import Download, open_url
from palan.engine.threads import in_thread


__all__ = ["download"]

_UNNAMED = "__unnamed__"


async def download(url: str, place: Path, destination: str, output: Output) -> Picked:
    """Download a file.

    Args:
        url: the file's address.
        place: a directory to create for it.
        destination: the path in the image; with a trailing slash, the file needs a name.
        output: gets a line about the file's length.

    Raises:
        InvalidParameter: the file needs a name, and has none.
        PalanError: the download failed.
    """
    source = await in_thread(lambda: open_url(url))
    try:
        name = _name(url, source)
        if not name and destination.endswith("/"):
            raise InvalidParameter(f"cannot determine filename for source {source.url}")
        picked, length = await in_thread(
            lambda: _keep(source, place, name or _UNNAMED, _modified(source)), source.abort
        )
    except OSError as error:
        raise InternalError(f'Get "{source.url}": {error.strerror or error}') from None
    finally:
        await in_thread(source.close)
    detail = ProgressDetail(current=length, total=length)
    await output.send(JSONMessage(status="Downloading", progress_detail=detail))
    await output.say("\n")
    return picked


def _name(url: str, source: Download) -> str:
    """Return the name of the file, from the URL or else from the response."""
    path = urllib.parse.unquote(urllib.parse.urlsplit(url).path)
    if path and not path.endswith("/"):
        return posixpath.basename(path)
    header = email.message.Message()
    header["Content-Disposition"] = source.headers.get("Content-Disposition", "")
    name = header.get_filename() or ""
    return "" if name.endswith("/") else posixpath.basename(name)


def _modified(source: Download) -> float:
    """Return the modification time in seconds since the epoch; 0 if the server names none."""
    try:
        return email.utils.parsedate_to_datetime(
            source.headers.get("Last-Modified", "")
        ).timestamp()
    except (ValueError, TypeError):
        return 0.0


def _keep(source: Download, place: Path, name: str, modified: float) -> tuple[Picked, int]:
    place.mkdir()
    if name in (".", ".."):
        name = _UNNAMED
    handle = os.open(place / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    length = 0
    with os.fdopen(handle, "wb") as file:
        while piece := source():
            file.write(piece)
            length += len(piece)
    os.utime(place / name, (modified, modified))
    root = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        checksum = Checksums(root).of(name).removeprefix("file:")
    finally:
        os.close(root)
    return Picked(name, checksum, fetched=True), length
