"""Labels, variables and a tag, which log drivers send with the lines of a container."""

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote_plus

from palan.api.errors import InvalidParameter
from palan.engine.logdrivers.container import ContainerFacts
from palan.engine.logdrivers.template import Template, TemplateError
from palan.engine.timestamps import go_time
from palan.patterns import BadPattern, compile_pattern


__all__ = ["DEFAULT_TAG", "check_attributes", "details", "extra_attributes", "log_tag"]

DEFAULT_TAG: Final = "{{.ID}}"
_SHORT: Final = 12

_NAMES: Final = (
    "Config", "ContainerID", "ContainerName", "ContainerEntrypoint", "ContainerArgs",
    "ContainerImageID", "ContainerImageName", "ContainerCreated", "ContainerEnv",
    "ContainerLabels", "LogPath", "DaemonName", "ID", "FullID", "Name", "ImageID",
    "ImageFullID", "ImageName", "Command", "Hostname",
)  # fmt: skip


def check_attributes(options: Mapping[str, str]) -> None:
    """Check the options that select attributes.

    Raises:
        InvalidParameter: in the words of dockerd, which checks them when the container starts.
    """
    before = "failed to create task for container: failed to initialize logging driver: "
    for name in ("labels-regex", "env-regex"):
        try:
            compile_pattern(options.get(name, ""))
        except BadPattern as error:
            raise InvalidParameter(f"{before}{error}") from None
    sample: dict[str, Any] = dict.fromkeys(_NAMES, "")
    for name in ("Config", "ContainerLabels"):
        sample[name] = {}
    for name in ("ContainerArgs", "ContainerEnv"):
        sample[name] = [""]
    try:
        Template(options.get("tag", "")).apply(sample)
    except TemplateError as error:
        raise InvalidParameter(f"{before}{error}") from None


def log_tag(record: ContainerFacts, *, default: str, hostname: str, path: str) -> str:
    """Return the tag of a container's lines.

    Args:
        record: the container.
        default: the template for a container without the option ``tag``; empty for no tag.
        hostname: the machine's name.
        path: the path of the container's log.

    Raises:
        TemplateError: the template can't be applied.
    """
    template = (record.host_config.log_config.config or {}).get("tag") or default
    return Template(template).apply(_values(record, hostname, path)) if template else ""


def _values(record: ContainerFacts, hostname: str, path: str) -> dict[str, Any]:
    image = record.image
    digest = image.partition(":")[2] or image
    return {
        "Config": record.host_config.log_config.config or {},
        "ContainerID": record.id,
        "ContainerName": f"/{record.name}",
        "ContainerEntrypoint": record.path,
        "ContainerArgs": record.args,
        "ContainerImageID": image,
        "ContainerImageName": record.config.image,
        "ContainerCreated": go_time(record.created),
        "ContainerEnv": record.config.env or [],
        "ContainerLabels": record.config.labels,
        "LogPath": path,
        "DaemonName": "docker",
        "ID": record.id[:_SHORT],
        "FullID": record.id,
        "Name": record.name,
        "ImageID": digest[:_SHORT],
        "ImageFullID": image,
        "ImageName": record.config.image,
        "Command": " ".join([record.path, *record.args]),
        "Hostname": hostname,
    }


def extra_attributes(record: ContainerFacts, rename: Callable[[str], str] = str) -> dict[str, str]:
    """Return the labels and variables that the driver's options select.

    Args:
        record: the container.
        rename: changes their names, as some drivers do.
    """
    options = record.host_config.log_config.config or {}
    labels = record.config.labels
    variables = {
        name: value for name, equals, value in (e.partition("=") for e in record.config.env or ())
        if equals
    }  # fmt: skip
    found: dict[str, str] = {}
    for kind, values in (("labels", labels), ("env", variables)):
        listed = options.get(kind, "").split(",")
        found.update({name: values[name] for name in listed if name in values})
        if pattern := options.get(f"{kind}-regex"):
            matches = compile_pattern(pattern).search
            found.update({name: value for name, value in values.items() if matches(name)})
    return {rename(name): value for name, value in found.items()}


def details(record: ContainerFacts, *, hostname: str, path: str) -> bytes:
    """Return what ``logs?details=1`` shows before each line, with the space that follows it."""
    attributes = extra_attributes(record)
    if tag := log_tag(record, default="", hostname=hostname, path=path):
        attributes["tag"] = tag
    pairs = sorted(f"{quote_plus(name)}={quote_plus(value)}" for name, value in attributes.items())
    return (",".join(pairs) + " ").encode()
