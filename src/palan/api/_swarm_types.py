"""Types shared by the objects of a swarm: versions, names, drivers, resources, platforms."""

from msgspec import field

from palan.api._base import UNSET, Message, Unset


__all__ = [
    "Annotations",
    "DiscreteGenericResource",
    "Driver",
    "GenericResource",
    "Limit",
    "NamedGenericResource",
    "ObjectVersion",
    "Platform",
    "ResourceObject",
    "SwarmObject",
    "TLSInfo",
]


class ObjectVersion(Message, omit_defaults=True):
    """The version of one object of the swarm.

    An update contains the version that it is based on, and is refused if the object has
    changed since.
    """

    index: int = 0


class SwarmObject(Message):
    """The fields of every object of a swarm."""

    id: str = field(name="ID", default="")
    version: ObjectVersion = field(default_factory=ObjectVersion)
    created_at: str = "0001-01-01T00:00:00Z"
    updated_at: str = "0001-01-01T00:00:00Z"


class Annotations(Message):
    """The name and the labels of a specification."""

    name: str | Unset = UNSET
    labels: dict[str, str] | None = None


class Driver(Message, omit_defaults=True):
    """A driver (of logs, secrets, templates, networks) and its options."""

    name: str = ""
    options: dict[str, str] = field(default_factory=dict)


class TLSInfo(Message, omit_defaults=True):
    """The certificates and keys with which a node verifies its swarm."""

    trust_root: str = ""
    """The root certificates in PEM."""

    cert_issuer_subject: bytes = b""
    """The issuer's subject in DER."""

    cert_issuer_public_key: bytes = b""
    """The issuer's public key in DER."""


class Platform(Message, omit_defaults=True):
    """The processor and the operating system of a node."""

    architecture: str = ""
    """The processor as shown by ``uname -m``, such as ``x86_64``."""

    os: str = field(name="OS", default="")


class NamedGenericResource(Message, omit_defaults=True):
    """A resource with a name, such as one GPU by its UUID."""

    kind: str = ""
    value: str = ""


class DiscreteGenericResource(Message, omit_defaults=True):
    """A resource that is counted."""

    kind: str = ""
    value: int = 0


class GenericResource(Message, omit_defaults=True):
    """A user-defined resource; exactly one field is set."""

    named_resource_spec: NamedGenericResource | None = None
    discrete_resource_spec: DiscreteGenericResource | None = None


class ResourceObject(Message, omit_defaults=True):
    """Resources of a node, or reserved resources of a task."""

    nano_cpus: int = field(name="NanoCPUs", default=0)
    """Processors, in billionths of one."""

    memory_bytes: int = 0
    generic_resources: list[GenericResource] = field(default_factory=list)


class Limit(Message, omit_defaults=True):
    """The limits of a task; 0 is unlimited."""

    nano_cpus: int = field(name="NanoCPUs", default=0)
    """Processors, in billionths of one."""

    memory_bytes: int = 0
    pids: int = 0
