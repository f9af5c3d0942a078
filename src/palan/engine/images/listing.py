"""The filters that select images for a list or a prune."""

from collections.abc import Callable, Iterable, Iterator

from palan.api import Filters
from palan.engine.images.catalog import Catalog
from palan.engine.images.describe import created_nanoseconds
from palan.engine.images.image import Image
from palan.engine.images.lookup import find
from palan.engine.images.reference import parse
from palan.engine.until import parse_until
from palan.patterns import BadPattern, Pattern, compile_glob
from palan.store.images import NameRecord


__all__ = ["compile_references", "created_before", "matches_reference", "select"]

Test = Callable[[Image], bool]


def compile_references(patterns: Iterable[str]) -> list[Pattern]:
    """Compile the patterns of a filter ``reference``.

    A malformed pattern matches nothing and hides those after it, as in dockerd.
    """
    compiled = []
    for pattern in patterns:
        try:
            compiled.append(compile_glob(pattern))
        except BadPattern:
            break
    return compiled


def matches_reference(name: NameRecord, patterns: Iterable[Pattern]) -> bool:
    """Whether a name or its repository, familiar or normalised, matches one of the patterns."""
    reference = parse(name.name)
    texts = (
        reference.familiar,
        reference.familiar_repository,
        str(reference),
        reference.repository,
    )
    return any(pattern.fullmatch(text) for pattern in patterns for text in texts)


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
    patterns = compile_references(filters.get("reference"))
    selected = []
    for image in catalog.visible():
        names = catalog.names_of(image)
        if dangling is not None and dangling == bool(names):
            continue
        if not (names or everything) and catalog.children(image):
            continue
        if not all(test(image) for test in tests):
            continue
        if "reference" in filters:
            names = [name for name in names if matches_reference(name, patterns)]
            if not names:
                continue
        selected.append((image, names))
    selected.sort(key=lambda item: created_nanoseconds(item[0].spec.created), reverse=True)
    return selected
