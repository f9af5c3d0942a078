"""``GET /images/search``: searches a registry that has Docker Hub's first API."""

import re
from typing import Final
from urllib.parse import urlencode

import msgspec

from palan.api import Filters
from palan.api.errors import InternalError, InvalidParameter
from palan.api.images import ImageSearch, ImageSearchResult
from palan.engine.images.remote import open_session
from palan.engine.images.surroundings import RegistryConfig
from palan.engine.threads import in_thread
from palan.registry.failures import TransportError
from palan.registry.names import HUB
from palan.registry.refusals import NoCredentials
from palan.registry.server import Server
from palan.registry.session import Session


__all__ = ["search"]

_DEFAULT: Final = 25
_MOST: Final = 100
_ANSWER_MAX: Final = 8 << 20


class _Results(msgspec.Struct):
    results: list[ImageSearchResult] | None = None


async def search(config: RegistryConfig, request: ImageSearch) -> list[ImageSearchResult]:
    """Search a registry.

    Raises:
        InvalidParameter: the request is malformed.
        InternalError: the registry has no search, or cannot be reached.
    """
    filters = request.filters
    automated = _boolean(filters, "is-automated")
    official = _boolean(filters, "is-official")
    stars = _stars(filters)
    limit = request.limit or _DEFAULT
    if not 1 <= limit <= _MOST:
        raise InvalidParameter(f"limit {limit} is outside the range of [1, {_MOST}]")
    if "://" in request.term:
        raise InvalidParameter(
            f"invalid repository name: repository name ({request.term}) should not have a scheme"
        )
    if automated:
        # They were abolished; registries may still claim some.
        return []
    domain, term = _split(request.term)
    with open_session(config, domain, request.registry_auth) as session:
        results = await in_thread(lambda: _ask(session, term, limit), session.aborter.abort)
    found = []
    for result in results:
        result.is_automated = False
        if result.star_count >= stars and official in (None, result.is_official):
            found.append(result)
    return found


def _boolean(filters: Filters, name: str) -> bool | None:
    return filters.boolean(name, default=False) if name in filters else None


def _stars(filters: Filters) -> int:
    most = 0
    for text in filters.get("stars"):
        if not re.fullmatch(r"[+-]?\d{1,9}", text):
            raise InvalidParameter(f"invalid filter 'stars=[{text}]'")
        most = max(most, int(text))
    return most


def _split(term: str) -> tuple[str, str]:
    """Return the registry to search, and the term."""
    first, slash, rest = term.partition("/")
    if not slash or (not any(mark in first for mark in ".:") and first != "localhost"):
        return "docker.io", term.removeprefix("library/")
    if first in ("docker.io", "index.docker.io"):
        return "docker.io", rest.removeprefix("library/")
    return first, rest


def _ask(session: Session, term: str, limit: int) -> list[ImageSearchResult]:
    failed: TransportError | None = None
    for server in session.servers():
        try:
            return _results(server, term, limit)
        except TransportError as error:
            failed = failed or error
        except NoCredentials as error:
            raise InternalError(str(error)) from None
    raise InternalError(str(failed))


def _results(server: Server, term: str, limit: int) -> list[ImageSearchResult]:
    endpoint = server.endpoint
    host = "index.docker.io" if endpoint.host == HUB else endpoint.host
    url = f"{endpoint.scheme}://{host}/v1/search?{urlencode({'q': term, 'n': limit})}"
    with server.open("GET", url, headers={"X-Docker-Token": "true"}) as response:
        if response.status != 200:
            raise InternalError(f"unexpected status code {response.status}")
        data = response.body(_ANSWER_MAX)
    try:
        return msgspec.json.decode(data, type=_Results).results or []
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InternalError(
            "error decoding the registry's answer: it is no search result"
        ) from None
