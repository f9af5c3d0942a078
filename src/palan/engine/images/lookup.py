"""Finding the image that a text means: a name, a name with a digest, or a prefix of an id."""

import re
from dataclasses import dataclass
from typing import Final

from palan.api.errors import NotFound
from palan.engine.images.catalog import Catalog
from palan.engine.images.image import Image
from palan.engine.images.platform import Platform
from palan.engine.images.reference import is_digest, parse
from palan.store.images import NameRecord, TargetRecord


__all__ = ["Match", "find", "for_platform"]

_SHORT: Final = re.compile(r"(?:sha256:)?([0-9a-f]{4,64})")
_FULL: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Match:
    """A found image.

    Attributes:
        image: the image that the text means on this machine.
        target: the manifest or index that the image belongs to.
        name: the name, if the text was one; else None.
    """

    image: Image
    target: TargetRecord
    name: NameRecord | None


def find(catalog: Catalog, text: str) -> Match:
    """Look up an image.

    Raises:
        NotFound: there is no such image.
        InvalidParameter: the text is neither a name nor an id.
    """
    if _FULL.fullmatch(text):
        text = f"sha256:{text}"
    if is_digest(text):
        match = _by_digest(catalog, text)
        if match is None:
            raise NotFound(f"No such image: {text}")
        return match
    reference = parse(text)
    missing = NotFound(f"No such image: {reference.tagged().familiar}")
    if reference.digest is not None:
        target = catalog.targets.get(reference.digest)
        there = (f"{reference.repository}:", f"{reference.repository}@")
        if target is None or not any(
            record.target == target.digest and record.name.startswith(there)
            for record in catalog.names.values()
        ):
            raise missing
        return _of_target(catalog, target, None) or _raise(missing)
    name = catalog.names.get(str(reference.tagged()))
    if name is not None:
        return _of_target(catalog, catalog.targets[name.target], name) or _raise(missing)
    short = _SHORT.fullmatch(text)
    if short is not None:
        begins = f"sha256:{short[1]}"
        digests = {image.id for image in catalog.images.values() if image.id.startswith(begins)}
        if not digests:
            digests = {digest for digest in catalog.targets if digest.startswith(begins)}
        if len(digests) == 1:
            return _by_digest(catalog, digests.pop()) or _raise(missing)
    raise missing


def _raise(error: Exception) -> Match:
    raise error


def _by_digest(catalog: Catalog, digest: str) -> Match | None:
    image = catalog.images.get(digest)
    if image is not None:
        targets = catalog.represented(image) or catalog.targets_of(image)
        return Match(image, targets[0], None) if targets else None
    target = catalog.targets.get(digest)
    return None if target is None else _of_target(catalog, target, None)


def _of_target(catalog: Catalog, target: TargetRecord, name: NameRecord | None) -> Match | None:
    image = catalog.primary(target)
    return None if image is None else Match(image, target, name)


def for_platform(
    catalog: Catalog, match: Match, text: str, platform: Platform, *, strict: bool = True
) -> Image:
    """Return the image of a match for a platform.

    Args:
        catalog: all images.
        match: the match of ``text``.
        text: the reference as the user wrote it.
        platform: the wanted platform.
        strict: whether the image must be for exactly that platform; else, any image that
            a machine for the platform can run.

    Raises:
        NotFound: there is no image for the platform.
    """
    image = catalog.choose(match.target, platform, strict=strict)
    if image is None:
        raise NotFound(
            f"image with reference {text} was found but does not provide the specified"
            f" platform ({platform})"
        )
    return image
