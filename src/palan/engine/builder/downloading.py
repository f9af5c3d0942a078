"""``ADD`` of a URL: a file as its server has it."""

import email.message
import email.utils
import http.client
import os
import posixpath
import urllib.parse
from pathlib import Path

from palan.api.build import JSONMessage, ProgressDetail
from palan.api.errors import InternalError, InvalidParameter
from palan.engine.builder.checksums import Checksums
from palan.engine.builder.output import Output
from palan.engine.builder.remote import open_url
from palan.engine.builder.selection import Picked
from palan.engine.images.fetch import Download
from palan.engine.threads import in_thread


__all__ = ["download"]

_UNNAMED = "__unnamed__"


async def download(url: str, place: Path, destination: str, output: Output) -> Picked:
    """Download a file.

    Args:
        url: where from.
        place: a new directory for it.
        destination: where it is to go; with a slash at its end the file needs a name.
        output: is told how long it was.

    Raises:
        InvalidParameter: it has no name, and needs one.
        PalanError: it can't be had.
    """
    response = await in_thread(lambda: open_url(url))
    source = Download(response)
    try:
        name = _name(url, response)
        if not name and destination.endswith("/"):
            raise InvalidParameter(f"cannot determine filename for source {url}")
        picked, length = await in_thread(
            lambda: _keep(source, place, name or _UNNAMED, _modified(response)), source.abort
        )
    except (OSError, http.client.HTTPException) as error:
        raise InternalError(f'Get "{url}": {error}') from None
    finally:
        await in_thread(response.close)
    detail = ProgressDetail(current=length, total=length)
    await output.send(JSONMessage(status="Downloading", progress_detail=detail))
    await output.say("\n")
    return picked


def _name(url: str, response: http.client.HTTPResponse) -> str:
    """What the file is called: by its URL, or else by its server."""
    path = urllib.parse.unquote(urllib.parse.urlsplit(url).path)
    if path and not path.endswith("/"):
        return posixpath.basename(path)
    header = email.message.Message()
    header["Content-Disposition"] = response.headers.get("Content-Disposition", "")
    name = header.get_filename() or ""
    return "" if name.endswith("/") else posixpath.basename(name)


def _modified(response: http.client.HTTPResponse) -> float:
    """Seconds since the epoch; 0 where the server does not say."""
    try:
        return email.utils.parsedate_to_datetime(
            response.headers.get("Last-Modified", "")
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
