"""``GET /distribution/{name}/json``: describes an image in a registry without pulling it."""

from dataclasses import replace
from typing import Any, Final

from palan.api.errors import Forbidden, InternalError, NotFound, PalanError, Unauthorized
from palan.api.images import (
    DistributionInspect,
    ImageDistributionInspect,
    OCIDescriptor,
    OCIPlatform,
)
from palan.engine.images.formats import (
    MAX_DOCUMENT,
    Index,
    Manifest,
    PlatformField,
    decode,
    digest_of,
    is_index,
)
from palan.engine.images.image_download import ACCEPT
from palan.engine.images.reference import is_digest, parse
from palan.engine.images.remote import first_answer, open_session
from palan.engine.images.surroundings import RegistryConfig
from palan.engine.threads import in_thread
from palan.registry.failures import TransportError
from palan.registry.refusals import NoCredentials, Refused
from palan.registry.repository import ManifestInfo, Repository


__all__ = ["distribution_inspect"]

_SCHEMA2: Final = "application/vnd.docker.distribution.manifest.v2+json"


async def distribution_inspect(
    config: RegistryConfig, request: ImageDistributionInspect
) -> DistributionInspect:
    """Return digest and platforms of an image in a registry.

    Raises:
        NotFound: the registry has no such image.
        Unauthorized: the registry does not accept the credentials.
        Forbidden: the registry denies access.
        InternalError: the registry cannot be reached.
    """
    reference = parse(request.name).tagged()
    what = reference.digest or reference.tag or ""
    with open_session(config, reference.domain, request.registry_auth, mirrors=True) as session:

        def work() -> DistributionInspect:
            answer, _ = first_answer(
                session.servers(), reference.path, lambda there: _ask(there, what)
            )
            return answer

        try:
            return await in_thread(work, session.aborter.abort)
        except (NoCredentials, TransportError) as error:
            raise InternalError(str(error)) from None
        except Refused as refusal:
            raise _failure(refusal) from None


def _ask(repository: Repository, what: str) -> DistributionInspect:
    found = repository.find(what, ACCEPT)
    # A digest is only known to be there when the document was verified.
    if not found.data and (not found.digest or is_digest(what) or _has_platforms(found)):
        found = repository.fetch(found.digest or what, ACCEPT)
    if found.data:
        found = replace(found, digest=_verified(found.data, found.digest, "manifest"))
    descriptor = OCIDescriptor(
        media_type=found.media_type, digest=found.digest, size=len(found.data) or found.size
    )
    return DistributionInspect(descriptor=descriptor, platforms=_platforms(repository, found))


def _verified(data: bytes, digest: str, what: str) -> str:
    """Return the digest of a document, which may be known before.

    Raises:
        InternalError: it has another one.
    """
    actual = digest_of(data)
    if digest not in ("", actual):
        raise InternalError(f"{what} verification failed for digest {digest}")
    return actual


def _has_platforms(found: ManifestInfo) -> bool:
    return is_index(found.media_type, b"") or found.media_type == _SCHEMA2


def _platforms(repository: Repository, found: ManifestInfo) -> list[OCIPlatform] | None:
    """Return the platforms of the images; as in dockerd, None for a single OCI manifest."""
    if is_index(found.media_type, b""):
        index = decode(found.data, Index, "index")
        return [_message(each.platform) for each in index.manifests if each.platform] or None
    if found.media_type == _SCHEMA2 and found.data:
        config = decode(found.data, Manifest, "manifest").config
        data = repository.small_blob(config.digest, MAX_DOCUMENT)
        _verified(data, config.digest, "image configuration")
        platform = _message(decode(data, PlatformField, "image configuration"))
        return [platform] if platform.os or platform.architecture else None
    return None


def _message(platform: PlatformField) -> OCIPlatform:
    message: dict[str, Any] = {"os": platform.os, "architecture": platform.architecture}
    if platform.variant:
        message["variant"] = platform.variant
    if platform.os_version:
        message["os_version"] = platform.os_version
    if platform.os_features:
        message["os_features"] = platform.os_features
    return OCIPlatform(**message)


def _failure(refusal: Refused) -> PalanError:
    kinds = {401: Unauthorized, 403: Forbidden, 404: NotFound}
    return kinds.get(refusal.status, InternalError)(refusal.description or str(refusal))
