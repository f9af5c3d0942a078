"""``GET /images/{name}/attestations``: in-toto statements that came with an image.

BuildKit puts them into the index beside the image: a manifest for the platform
``unknown/unknown`` whose annotation names the image's manifest, with a layer for each
statement.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from palan.api import UNSET
from palan.api.errors import InternalError, InvalidParameter, NotFound
from palan.api.images import AttestationStatement, ImageAttestations, OCIDescriptor
from palan.engine.images.catalog import Catalog
from palan.engine.images.formats import MAX_DOCUMENT, Descriptor, Manifest, decode, digest_of
from palan.engine.images.lookup import find, for_platform
from palan.engine.images.platform import parse_json
from palan.store.images import ManifestRecord, TargetRecord


__all__ = ["attestations"]

_STATEMENT: Final = "application/vnd.in-toto+json"
_PREDICATE: Final = "in-toto.io/predicate-type"


def attestations(catalog: Catalog, request: ImageAttestations) -> list[AttestationStatement]:
    """The statements about one image.  Blocking.

    Raises:
        NotFound: there is no such image, or not for the platform.
        InvalidParameter: more than one platform, or something that is none.
        InternalError: a statement is damaged or not here.
    """
    if len(request.platform) > 1:
        raise InvalidParameter("only one platform can be given")
    match = find(catalog, request.name)
    image = match.image
    if request.platform:
        image = for_platform(catalog, match, request.name, parse_json(request.platform[0]))
    found = []
    for record in _manifests(match.target, image.id):
        for layer in _statements(catalog, record):
            predicate = layer.annotations.get(_PREDICATE, "")
            if request.type and predicate not in request.type:
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


def _manifests(target: TargetRecord, image: str) -> Iterator[ManifestRecord]:
    about = {manifest.digest for manifest in target.manifests if manifest.image == image}
    for manifest in target.manifests:
        if manifest.kind == "attestation" and manifest.subject in about and manifest.blobs:
            yield manifest


def _statements(catalog: Catalog, record: ManifestRecord) -> Iterator[Descriptor]:
    manifest = decode(_read(catalog, record.digest, record.size), Manifest, "manifest")
    for layer in manifest.layers:
        if layer.media_type == _STATEMENT:
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
        data = catalog.content.read(digest)
    except FileNotFoundError:
        raise NotFound(f"content digest {digest}: not found") from None
    if digest_of(data) != digest:
        raise InternalError(f"content digest {digest}: its content is damaged")
    return data
