"""``GET /images/{name}/attestations``: the in-toto statements of an image.

BuildKit puts them into the image's index: a manifest for the platform ``unknown/unknown``
with an annotation that names the image's manifest, and a layer for each statement.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from palan.api import UNSET
from palan.api.errors import InternalError, InvalidParameter, NotFound
from palan.api.images import AttestationStatement, ImageAttestations, OCIDescriptor
from palan.engine.images.catalog import Catalog
from palan.engine.images.formats import INDEXES, MAX_DOCUMENT, Descriptor, Manifest, decode
from palan.engine.images.lookup import find
from palan.engine.images.platform import Platform, native_platform, parse_json
from palan.store.images import ManifestRecord, TargetRecord


__all__ = ["attestations"]

_PREDICATE: Final = "in-toto.io/predicate-type"


def attestations(catalog: Catalog, request: ImageAttestations) -> list[AttestationStatement]:
    """Return the statements about one image.  Blocking.

    An image that came without an index has none.  As in dockerd, an image that a machine
    for the platform can run counts as one for the platform.

    Raises:
        NotFound: there is no such image, or not for the platform.
        InvalidParameter: several platforms are given, or the platform is malformed.
        InternalError: a statement is damaged or missing.
    """
    if len(request.platform) > 1:
        raise InvalidParameter("only one platform value is currently supported")
    given = request.platform[0] if request.platform else ""
    platform = parse_json(given) if given else native_platform()
    target = find(catalog, request.name).target
    types = [text for each in request.type if (text := each.strip())]
    found = []
    for record in _manifests(target, platform):
        for layer in _statements(catalog, record):
            predicate = layer.annotations[_PREDICATE]
            if types and predicate not in types:
                continue
            found.append(
                AttestationStatement(
                    descriptor=OCIDescriptor(
                        media_type=layer.media_type,
                        digest=layer.digest,
                        size=layer.size,
                        annotations=layer.annotations or UNSET,
                    ),
                    predicate_type=predicate,
                    statement=_document(catalog, layer) if request.statement else UNSET,
                )
            )
    return found


def _manifests(target: TargetRecord, platform: Platform) -> Iterator[ManifestRecord]:
    if target.media_type not in INDEXES:
        return
    ranked = [
        (rank, number)
        for number, manifest in enumerate(target.manifests)
        if manifest.kind == "image"
        and (rank := Platform(*manifest.platform).rank(platform)) is not None
    ]
    if not ranked:
        raise NotFound(f"no manifest for platform {platform}: not found")
    about = target.manifests[min(ranked)[1]].digest
    for manifest in target.manifests:
        if manifest.kind == "attestation" and manifest.subject == about and manifest.blobs:
            yield manifest


def _statements(catalog: Catalog, record: ManifestRecord) -> Iterator[Descriptor]:
    manifest = decode(_read(catalog, record.digest, record.size), Manifest, "manifest")
    for layer in manifest.layers:
        if layer.annotations.get(_PREDICATE):
            yield layer


def _document(catalog: Catalog, layer: Descriptor) -> msgspec.Raw:
    data = _read(catalog, layer.digest, layer.size)
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InternalError(f"statement {layer.digest} is no JSON: {error}") from None
    return msgspec.Raw(data)


def _read(catalog: Catalog, digest: str, size: int) -> bytes:
    if size > MAX_DOCUMENT:
        raise InternalError(f"{digest} is larger than {MAX_DOCUMENT} bytes")
    try:
        return catalog.content.read(digest)
    except FileNotFoundError:
        raise NotFound(f"content digest {digest}: not found") from None
