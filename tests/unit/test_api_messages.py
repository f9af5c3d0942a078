"""The messages compared with Docker's description of 1.55 and with dockerd's responses."""

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from tests.support.contract import description, recorded_steps

from palan.api import build, containers, images, networks, system, volumes
from palan.api import exec as exec_group
from palan.api._base import Message, Request, message_keys
from palan.api._common import ErrorResponse, IDResponse
from palan.api.containers import HostConfig
from palan.api.endpoint import Endpoint
from palan.api.registry import endpoints
from palan.api.results import Json, Messages


MODULES = (containers, exec_group, images, networks, volumes, system, build)

RENAMED: dict[str, type[Message]] = {
    # The request of the endpoint has the definition's name.
    "ImageInspect": images.ImageInspectResponse,
    "NetworkInspect": networks.NetworkInspectResponse,
    # One message for three definitions, which differ only in the keys that they mention.
    "BuildInfo": images.JSONMessage,
    "CreateImageInfo": images.JSONMessage,
    "PushImageInfo": images.JSONMessage,
    "ErrorResponse": ErrorResponse,
    "IDResponse": IDResponse,
}

EXTRA = {
    # Fields of requests of older versions, which are refused or ignored.
    "Resources": {"KernelMemory", "KernelMemoryTCP"},
    "HostConfig": {"KernelMemory", "KernelMemoryTCP", "Capabilities"},
    "ContainerConfig": {"MacAddress"},
    # Fields of responses to clients of older versions.
    "NetworkSummary": {"Containers"},
    # Fields of dockerd that its description lacks.
    "AuthConfig": {"auth", "identitytoken", "registrytoken"},
    "Mount": {"ClusterOptions"},
    "ImageInspect": {"Parent"},
    "ClusterVolumeSpec": {
        "AccessibilityRequirements",
        "CapacityRange",
        "Secrets",
        "Availability",
    },
    "ProgressDetail": {"start", "hidecounts", "units"},
    "SwarmInfo": {"Warnings"},
}

# Described with the limits that an update can change; dockerd has it in HostConfig alone.
MISSING = {"Resources": {"Init"}}

# Objects without a definition of their own, by where they are described.
INLINE: dict[str, type[Message]] = {
    "Mount.BindOptions": containers.BindOptions,
    "Mount.VolumeOptions": containers.VolumeOptions,
    "Mount.VolumeOptions.DriverConfig": containers.VolumeDriverConfig,
    "Mount.ImageOptions": containers.ImageOptions,
    "Mount.TmpfsOptions": containers.TmpfsOptions,
    "Resources.BlkioWeightDevice": containers.WeightDevice,
    "Resources.Ulimits": containers.Ulimit,
    "HostConfig.LogConfig": containers.LogConfig,
    "ContainerSummary.HostConfig": containers.ContainerSummaryHostConfig,
    "ContainerSummary.NetworkSettings": containers.ContainerSummaryNetworkSettings,
    "ContainerSummary.Health": containers.ContainerSummaryHealth,
    "ImageInspect.RootFS": images.ImageRootFS,
    "ImageInspect.Metadata": images.ImageMetadata,
    "ImageManifestSummary.Size": images.ImageManifestSize,
    "ImageManifestSummary.ImageData": images.ImageData,
    "ImageManifestSummary.ImageData.Size": images.ImageDataSize,
    "ImageManifestSummary.AttestationData": images.ImageAttestationData,
    "Volume.UsageData": volumes.VolumeUsageData,
    "ClusterVolume.Info": volumes.ClusterVolumeInfo,
    "ClusterVolume.PublishStatus": volumes.ClusterVolumePublishStatus,
    "SystemVersion.Platform": system.PlatformName,
    "SystemVersion.Components": system.ComponentVersion,
    "SystemInfo.DefaultAddressPools": system.AddressPool,
    "ContainerdInfo.Namespaces": system.ContainerdNamespaces,
}

# Docker describes these inside of AccessMode; dockerd has them in the specification.
MISDESCRIBED = {"Secrets", "AccessibilityRequirements", "CapacityRange", "Availability"}


@pytest.fixture(scope="module")
def spec() -> Any:
    return description()


def properties(schema: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    """Return the properties of a schema, including those of the schemas that it combines."""
    if "$ref" in schema:
        return properties(spec["definitions"][schema["$ref"].rsplit("/", 1)[1]], spec)
    found: dict[str, Any] = {}
    for part in schema.get("allOf", ()):
        found |= properties(part, spec)
    found |= schema.get("properties", {})
    return found


def messages() -> dict[str, type[Message]]:
    """Return Palan's messages that have the names of definitions."""
    named: dict[str, type[Message]] = {}
    for module in MODULES:
        for name in module.__all__:
            kind = getattr(module, name)
            if isinstance(kind, type) and issubclass(kind, Message):
                named[name] = kind
    named.update(RENAMED)
    return named


def test_messages_have_the_keys_of_the_definitions(spec):
    compared = 0
    for name, kind in messages().items():
        definition = spec["definitions"].get(name)
        if definition is None:
            continue
        compared += 1
        described = set(properties(definition, spec))
        ours = set(message_keys(kind))
        if kind is images.JSONMessage:
            assert described <= ours, name
            continue
        assert ours - described == EXTRA.get(name, set()), name
        assert described - ours == MISSING.get(name, set()), name
    assert compared > 90


@pytest.mark.parametrize("where", INLINE)
def test_inline_objects_have_the_keys_described(spec, where):
    name, *path = where.split(".")
    schema = spec["definitions"][name]
    for part in path:
        schema = properties(schema, spec)[part]
        schema = schema.get("items", schema)
    assert set(message_keys(INLINE[where])) == set(properties(schema, spec))


def test_access_mode_of_cluster_volumes(spec):
    described = properties(spec["definitions"]["ClusterVolumeSpec"], spec)["AccessMode"]
    ours = set(message_keys(volumes.ClusterVolumeAccessMode))
    assert ours == set(properties(described, spec)) - MISDESCRIBED | {"BlockVolume"}


def test_every_definition_of_these_groups_has_a_message(spec):
    """Every definition that the endpoints' schemas refer to exists as a message."""
    plain = {
        *("ChangeType", "MountType", "PortMap", "GenericResources", "SignatureType"),
        *("SignatureTimestampType", "KnownSignerIdentity", "LocalNodeState"),
    }
    known = set(messages()) | plain | {"ContainerdInfo"}
    swarm = {"ClusterInfo", "ObjectVersion", "SwarmSpec", "TLSInfo"}
    reached: set[str] = set()

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            ref = node.get("$ref")
            if isinstance(ref, str):
                name = ref.rsplit("/", 1)[1]
                if name not in reached:
                    reached.add(name)
                    walk(spec["definitions"][name])
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    for path, methods in spec["paths"].items():
        tags = {tag for entry in methods.values() for tag in entry["tags"]}
        if tags & {"Swarm", "Node", "Service", "Task", "Secret", "Config", "Plugin"}:
            continue
        walk({path: methods})
    assert reached - known - swarm == set()


def test_no_two_fields_share_a_wire_name():
    for endpoint in endpoints():
        names = [entry.encode_name for entry in msgspec.structs.fields(endpoint.request)]
        assert len(names) == len(set(names)), endpoint


def test_every_struct_and_its_module_are_documented():
    for module in MODULES:
        assert module.__doc__
        for name in module.__all__:
            kind = getattr(module, name)
            if isinstance(kind, type) and issubclass(kind, Message | Request):
                assert kind.__doc__, name


def test_defaults_are_not_shared():
    one, other = HostConfig(), HostConfig()
    one.port_bindings["80/tcp"] = None
    one.log_config.config["a"] = "b"
    assert other.port_bindings == {}
    assert other.log_config.config == {}


# ---- responses of dockerd ---------------------------------------------------


def recorded() -> Iterator[tuple[str, Endpoint, Any]]:
    """Yield recorded responses of 1.55, with their endpoints."""
    routes = [
        (
            endpoint,
            re.compile(
                re.sub(r"{\w+(\.\.\.)?}", lambda m: "(.+)" if m[1] else "([^/]+)", endpoint.path)
            ),
        )
        for endpoint in endpoints()
        if endpoint.group in {module.group.name for module in MODULES}
    ]
    # The most specific path first, as in a router.
    routes.sort(key=lambda route: (route[0].path.count("..."), route[0].path.count("{")))
    for entry in recorded_steps():
        request, response = entry["request"], entry["response"]
        if response["status"] not in (200, 201):
            continue
        target = request["target"].partition("?")[0]
        if not target.startswith("/v1.55/"):
            continue
        for endpoint, pattern in routes:
            if endpoint.method == request["method"] and pattern.fullmatch(target[6:]):
                yield entry["step"], endpoint, response["body"]
                break


def differences(theirs: Any, ours: Any, path: str = "") -> Iterator[str]:
    """Yield the paths where two JSON documents differ."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in theirs.keys() | ours.keys():
            if key not in ours:
                yield f"{path}.{key} is lost"
            elif key not in theirs:
                yield f"{path}.{key} is made up"
            else:
                yield from differences(theirs[key], ours[key], f"{path}.{key}")
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for index, (one, other) in enumerate(zip(theirs, ours, strict=True)):
            yield from differences(one, other, f"{path}[{index}]")
    elif theirs != ours:
        yield f"{path}: {theirs!r} became {ours!r}"


def test_dockerds_responses_survive_decoding_and_encoding():
    """Null, absent, empty and zero are distinguished exactly as by dockerd."""
    wrong: dict[str, str] = {}
    seen: set[str] = set()
    for step, endpoint, body in recorded():
        if not isinstance(endpoint.result, Json | Messages) or body is None:
            continue
        kind = endpoint.result.type
        several = isinstance(endpoint.result, Messages) and isinstance(body, list)
        for one in body if several else [body]:
            seen.add(endpoint.name)
            message = msgspec.json.decode(json.dumps(one).encode(), type=kind)
            again = json.loads(msgspec.json.encode(message))
            for difference in differences(one, again):
                wrong.setdefault(f"{endpoint.operation} {difference}", step)
    assert wrong == {}
    assert len(seen) > 30
