"""The filters that select images for a list or a prune."""

import re
from collections.abc import Callable, Iterator

from palan.api import Filters
from palan.engine.images.catalog import Catalog
from palan.engine.images.describe import created_nanoseconds
from palan.engine.images.image import Image
from palan.engine.images.lookup import find
from palan.engine.images.reference import parse
from palan.engine.until import parse_until
from palan.store.images import NameRecord


__all__ = ["created_before", "glob", "matches_reference", "select"]

Test = Callable[[Image], bool]


def glob(pattern: str) -> re.Pattern[str] | None:
    """Compile a shell pattern of Go's ``path.Match``: ``*`` and ``?`` do not match slashes.

    Returns:
        None if the pattern is malformed, and therefore matches nothing.
    """
    result = ""
    position = 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        if character == "*":
            result += "[^/]*"
        elif character == "?":
            result += "[^/]"
        elif character == "\\":
            if position >= len(pattern):
                return None
            result += re.escape(pattern[position])
            position += 1
        elif character == "[":
            end = _class_end(pattern, position)
            if end is None:
                return None
            result += _class(pattern[position:end])
            position = end + 1
        else:
            result += re.escape(character)
    try:
        return re.compile(result, re.DOTALL)
    except re.error:
        return None


def _class_end(pattern: str, start: int) -> int | None:
    position = start + 1 if pattern[start : start + 1] == "^" else start
    if pattern[position : position + 1] == "]":
        return None
    while position < len(pattern):
        if pattern[position] == "]":
            return position
        position += 2 if pattern[position] == "\\" else 1
    return None


def _class(body: str) -> str:
    negated = body.startswith("^")
    inner = ""
    escaped = False
    for character in body[1:] if negated else body:
        if escaped:
            inner += re.escape(character)
            escaped = False
        elif character == "\\":
            escaped = True
        else:
            inner += character if character == "-" else re.escape(character)
    # Go's character classes may contain slashes.
    return f"[{'^' if negated else ''}{inner}]"


def matches_reference(name: NameRecord, patterns: list[str]) -> bool:
    """Whether a name or its repository, familiar or normalised, matches one of the patterns.

    A malformed pattern ends the search, as in dockerd.
    """
    reference = parse(name.name)
    texts = (
        reference.familiar,
        reference.familiar_repository,
        str(reference),
        reference.repository,
    )
    for pattern in patterns:
        compiled = glob(pattern)
        if compiled is None:
            return False
        if any(compiled.fullmatch(text) for text in texts):
            return True
    return False


def created_before(filters: Filters) -> Test | None:
    """Return the test of the filter ``until``: created before all given times.

    Raises:
        InvalidParameter: a time is malformed.
    """
    limits = [
        parse_until(text, prefix="invalid value for 'until' filter: ") or 0
        for text in filters.get("until")
    ]
    if not limits:
        return None
    limit = min(limits)
    return lambda image: created_nanoseconds(image.spec.created) < limit


def _tests(catalog: Catalog, filters: Filters) -> Iterator[Test]:
    if "label" in filters or "label!" in filters:
        yield lambda image: filters.labels(image.labels)
    for name in ("before", "since"):
        for text in filters.get(name):
            than = created_nanoseconds(find(catalog, text).image.spec.created)
            if name == "before":
                yield lambda image, than=than: created_nanoseconds(image.spec.created) < than  # type: ignore[misc] # a default binds the value of this iteration
            else:
                yield lambda image, than=than: created_nanoseconds(image.spec.created) > than  # type: ignore[misc] # as above
    until = created_before(filters)
    if until is not None:
        yield until


def select(
    catalog: Catalog, filters: Filters, *, everything: bool
) -> list[tuple[Image, list[NameRecord]]]:
    """Return the images of a list, newest first, with the names that the filters select.

    Args:
        catalog: all images.
        filters: before, dangling, label, label!, reference, since, until.
        everything: include unnamed images that others were built from.

    Raises:
        InvalidParameter: a filter is unknown or malformed.
        NotFound: ``before`` or ``since`` names no image.
    """
    dangling = filters.boolean("dangling", default=False) if "dangling" in filters else None
    tests = list(_tests(catalog, filters))
    patterns = filters.get("reference")
    selected = []
    for image in catalog.visible():
        names = catalog.names_of(image)
        if dangling is not None and dangling == bool(names):
            continue
        if not (names or everything) and catalog.children(image):
            continue
        if not all(test(image) for test in tests):
            continue
        if patterns:
            names = [name for name in names if matches_reference(name, patterns)]
            if not names:
                continue
        selected.append((image, names))
    selected.sort(key=lambda item: created_nanoseconds(item[0].spec.created), reverse=True)
    return selected
