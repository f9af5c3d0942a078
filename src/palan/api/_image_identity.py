"""The verifiable origin of an image: pulls, builds and signatures."""

from msgspec import field

from palan.api._base import Message


__all__ = [
    "BuildIdentity",
    "Identity",
    "PullIdentity",
    "SignatureIdentity",
    "SignatureTimestamp",
    "SignerIdentity",
]


class SignatureTimestamp(Message, omit_defaults=True):
    """A timestamp of a signature, and its authority."""

    type: str = ""
    """``Tlog`` or ``TimestampAuthority``."""

    uri: str = field(name="URI", default="")
    timestamp: str = ""
    """RFC 3339."""


class SignerIdentity(Message, omit_defaults=True):
    """The claims of a signer's certificate (Fulcio's extensions)."""

    certificate_issuer: str = ""
    subject_alternative_name: str = ""
    issuer: str = ""
    build_signer_uri: str = field(name="BuildSignerURI", default="")
    build_signer_digest: str = ""
    runner_environment: str = ""
    source_repository_uri: str = field(name="SourceRepositoryURI", default="")
    source_repository_digest: str = ""
    source_repository_ref: str = ""
    source_repository_identifier: str = ""
    source_repository_owner_uri: str = field(name="SourceRepositoryOwnerURI", default="")
    source_repository_owner_identifier: str = ""
    build_config_uri: str = field(name="BuildConfigURI", default="")
    build_config_digest: str = ""
    build_trigger: str = ""
    run_invocation_uri: str = field(name="RunInvocationURI", default="")
    source_repository_visibility_at_signing: str = ""


class SignatureIdentity(Message, omit_defaults=True):
    """A signature of the image, and the result of its verification."""

    name: str = ""
    timestamps: list[SignatureTimestamp] = field(default_factory=list)
    known_signer: str = ""
    docker_reference: str = ""
    signer: SignerIdentity | None = None
    signature_type: str = ""
    """``bundle-v0.3`` or ``simplesigning-v1``."""

    error: str = ""
    warnings: list[str] = field(default_factory=list)


class PullIdentity(Message, omit_defaults=True):
    """A repository from which the image was pulled."""

    repository: str = ""


class BuildIdentity(Message, omit_defaults=True):
    """A build on this engine that produced the image."""

    ref: str = ""
    created_at: str = ""
    """RFC 3339."""


class Identity(Message, omit_defaults=True):
    """The origin of an image."""

    signature: list[SignatureIdentity] = field(default_factory=list)
    pull: list[PullIdentity] = field(default_factory=list)
    build: list[BuildIdentity] = field(default_factory=list)
