"""Names of images, in the form that users write and in the form that is stored.

A user writes ``busybox`` and means ``docker.io/library/busybox:latest``; the first is
the *familiar* form, the second the *normalised* one, which is stored.  The grammar and
the messages, on which clients match, are those of the distribution project.
"""

import re
from dataclasses import dataclass, replace
from typing import Final

from palan.api.errors import InvalidParameter


__all__ = [
    "DEFAULT_TAG",
    "DIGEST_ALGORITHM",
    "Reference",
    "is_digest",
    "parse",
    "repository_and_tag",
]

DEFAULT_TAG: Final = "latest"
DIGEST_ALGORITHM: Final = "sha256"

_DOCKER: Final = "docker.io"
_LEGACY: Final = "index.docker.io"
_OFFICIAL: Final = "library/"
_MAX_NAME: Final = 255

_HOST: Final = (
    r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
    r"(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*"
)
_DOMAIN: Final = rf"(?:{_HOST}|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_COMPONENT: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_TAG: Final = r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}"
_DIGEST: Final = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"

_REFERENCE: Final = re.compile(
    rf"({_DOMAIN})/({_COMPONENT}(?:/{_COMPONENT})*)(?::({_TAG}))?(?:@({_DIGEST}))?", re.ASCII
)
_TAG_ONLY: Final = re.compile(_TAG, re.ASCII)
_SHA256: Final = re.compile(r"sha256:[0-9a-f]{64}")
_IDENTIFIER: Final = re.compile(r"[0-9a-f]{64}")

_INVALID: Final = "invalid reference format"


@dataclass(frozen=True, slots=True)
class Reference:
    """A normalised name.

    Attributes:
        domain: the registry: ``docker.io``, ``127.0.0.1:5000``.
        path: the repository within it: ``library/busybox``.
        tag: the tag; None if it was not given.
        digest: the digest of a manifest; None if it was not given.
    """

    domain: str
    path: str
    tag: str | None = None
    digest: str | None = None

    @property
    def repository(self) -> str:
        """The repository with its registry."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_repository(self) -> str:
        """The repository as users write it."""
        if self.domain != _DOCKER:
            return self.repository
        short = self.path.removeprefix(_OFFICIAL)
        if "/" not in short:
            return short
        # Without its domain, this path would be read as one with another registry.
        return self.path if _split(self.path) == (self.domain, self.path) else self.repository

    @property
    def is_bare(self) -> bool:
        """Whether it has neither a tag nor a digest."""
        return self.tag is None and self.digest is None

    def _suffix(self) -> str:
        tag = f":{self.tag}" if self.tag is not None else ""
        return f"{tag}@{self.digest}" if self.digest is not None else tag

    @property
    def familiar(self) -> str:
        """The whole reference as users write it."""
        return self.familiar_repository + self._suffix()

    def __str__(self) -> str:
        return self.repository + self._suffix()

    def tagged(self) -> "Reference":
        """Return the reference with the default tag if it is bare."""
        return replace(self, tag=DEFAULT_TAG) if self.is_bare else self

    def with_tag(self, tag: str) -> "Reference":
        """Return the reference with another tag.

        Raises:
            InvalidParameter: the tag is malformed.
        """
        if not _TAG_ONLY.fullmatch(tag):
            raise InvalidParameter("invalid tag format")
        return replace(self, tag=tag)


def is_digest(text: str) -> bool:
    """Whether ``text`` is a complete ``sha256:`` digest."""
    return _SHA256.fullmatch(text) is not None


def _split(name: str) -> tuple[str, str]:
    """Return the registry, and the path with the implied ``library/``."""
    first, slash, rest = name.partition("/")
    if not slash or (
        not any(c in first for c in ".:") and first != "localhost" and first.lower() == first
    ):
        domain, rest = _DOCKER, name
    else:
        domain = _DOCKER if first == _LEGACY else first
    if domain == _DOCKER and "/" not in rest:
        rest = _OFFICIAL + rest
    return domain, rest


def parse(text: str) -> Reference:
    """Parse a reference as a user writes it.

    Raises:
        InvalidParameter: it is malformed.
    """
    if _IDENTIFIER.fullmatch(text):
        raise InvalidParameter(
            f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
        )
    domain, rest = _split(text)
    path = rest.partition(":")[0]
    if path.lower() != path:
        raise InvalidParameter(f"{_INVALID}: repository name ({path}) must be lowercase")
    match = _REFERENCE.fullmatch(f"{domain}/{rest}")
    if match is None:
        raise InvalidParameter(_INVALID)
    reference = Reference(*match.groups())
    if len(reference.repository) > _MAX_NAME:
        raise InvalidParameter(f"repository name must not be more than {_MAX_NAME} characters")
    if reference.digest is not None and not is_digest(reference.digest):
        raise InvalidParameter(_INVALID)
    return reference


def repository_and_tag(repository: str, tag: str) -> Reference | None:
    """Return the name of a new image, from two parameters of which the first may have a tag.

    Returns:
        None if both are empty.

    Raises:
        InvalidParameter: one of them is malformed, or names a digest.
    """
    if not repository:
        return None
    reference = parse(repository)
    if reference.digest is not None:
        raise InvalidParameter("cannot import digest reference")
    return reference.with_tag(tag) if tag else reference.tagged()
