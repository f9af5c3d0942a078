"""The OpenAPI document: complete, consistent, and equal to Docker's description."""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec
import pytest
from tests.support.contract import description as dockers

from palan.api.openapi import document
from palan.api.registry import GROUPS, endpoints
from palan.api.version import Version


Schema = dict[str, Any]


def operations(described: Schema) -> dict[str, Schema]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    }


@cache
def ours() -> Schema:
    return document()


# ---- by itself --------------------------------------------------------------


def test_document_has_every_endpoint():
    assert len(operations(ours())) == len(list(endpoints()))
    assert [tag["name"] for tag in ours()["tags"]] == [group.name for group in GROUPS]


def test_document_is_json():
    text = msgspec.json.encode(ours(), order="sorted")
    assert msgspec.json.encode(msgspec.json.decode(text), order="sorted") == text


def test_operation_ids_are_unique():
    ids = [operation["operationId"] for operation in operations(ours()).values()]
    assert len(ids) == len(set(ids))


def test_components_have_simple_names_and_are_all_there():
    schemas = ours()["components"]["schemas"]
    assert all(name.isidentifier() for name in schemas)
    text = json.dumps(ours())
    named = {part.split('"', 1)[0] for part in text.split("#/components/schemas/")[1:]}
    assert named <= set(schemas)


def test_path_parameters_are_those_of_the_path():
    for name, operation in operations(ours()).items():
        in_path = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "path"}
        assert all(f"{{{parameter}}}" in name for parameter in in_path)
        assert name.count("{") == len(in_path)


def test_fields_are_described_by_what_stands_below_them():
    spec = ours()["components"]["schemas"]["SecretSpec"]["properties"]
    assert spec["Data"]["description"] == "At most 500 KB; base64 in JSON."
    (parameter,) = (
        parameter
        for parameter in operations(ours())["POST /containers/create"]["parameters"]
        if parameter["name"] == "platform"
    )
    assert "platform" not in parameter["description"]
    assert parameter["description"].startswith("``os[/arch")


def test_older_versions_lack_what_came_later():
    old = operations(document(Version(1, 24)))
    assert "GET /containers/json" in old
    assert "GET /configs" not in old
    assert "POST /containers/prune" not in old
    assert document(Version(1, 24))["servers"] == [{"url": "/v1.24"}]


# ---- beside Docker's --------------------------------------------------------

OWN_OPERATIONS = {
    "GET /openapi.json",  # this document
    "POST /build/cancel",  # dockerd has these endpoints, its description does not
    "POST /grpc",
    "GET /containers/{id}/checkpoints",
    "POST /containers/{id}/checkpoints",
    "DELETE /containers/{id}/checkpoints/{checkpoint}",
}

JUSTIFIED = {
    # Fields and parameters that dockerd has and its description lacks.
    r"^GET /containers/{id}/logs: \+query details$": "dockerd",
    r"^POST /containers/{id}/start: \+query checkpoint": "dockerd",
    r"^POST /build: \+query (buildid|cgroupparent|cpusetmems|securityopt|session|ulimits)$": "",
    r"^POST /build/prune: \+query keep-storage$": "the name of reserved-space below 1.48",
    r": \+header x-registry-auth$": "sent by clients wherever a registry is asked",
    r"^POST /auth: \+body\.(auth|identitytoken|registrytoken)$": "dockerd",
    r"^GET /images/{name}/json: \+result\.Parent$": "of images that were built or committed here",
    r"^GET /info: \+result\.Swarm\.Warnings$": "dockerd",
    r"^GET /networks/{id}: \+result\.Services{}\.": "dockerd, with verbose",
    r"^GET /networks: \+(query containers|result\[\]\.Containers)": "as below 1.28",
    r"^GET /nodes.*CSIInfo$": "dockerd, of nodes with cluster volumes",
    r"^GET /services.*PreviousSpec$": "dockerd",
    r"^POST /swarm/(init|join): \+body\.(AutoLockManagers|Availability)$": "dockerd",
    r"ClusterOptions$": "dockerd, of mounts of cluster volumes",
    r"^GET /tasks.*\.Volumes$": "dockerd",
    r"^GET /system/df: \+result\.(BuildCache|Containers|Images|LayersSize|Volumes)$": "recorded",
    r"^GET /system/df: \+result\.\w+Usage\.Items\[\]\.": "described as objects of unknown shape",
    r"\+result\.(aux|error|errorDetail|id|progressDetail|status|stream)$": "lines of progress",
    # The description is wrong; the recordings and dockerd's source agree with Palan.
    r"TaskTemplate\.ContainerSpec\.Health[cC]heck$": "Healthcheck",
    r"^GET /tasks.*Spec\.ContainerSpec\.Health[cC]heck$": "Healthcheck",
    r"PluginSpec\.\w+$": "in lower case on the wire",
    r"^GET /tasks.*\.(Assigned)?GenericResources$": "GenericResources",
    r"^GET /tasks.*NetworksAttachments\[\]\.Network\.": "a network as managers have it",
    r"ClusterVolume(Spec|\.Spec)\.|^PUT /volumes/{name}: .body\.Spec\.": "indented too far there",
    r"^POST /(configs|secrets)/create: .result\.I[dD]$": "ID",
    r"^POST /containers/{id}/update: -body\.Init$": "not among what can be updated",
    r"^DELETE /plugins/{name}: -result\.": "recorded as empty",
    r"^POST /plugins/(pull|{name}/upgrade): .status 20[04]$": "recorded: a stream",
    r"^POST /plugins/{name}/enable: \+required query timeout$": "recorded: 400 without it",
    r"^POST /auth: -status 204$": "recorded: always 200",
    r"^POST /exec/{id}/start: \+status 101$|^POST /session: \+status 200$": "as asked for",
    # Archives are always read; dockerd takes JSON bodies for empty where the description wants one.
    r"^POST /(build|images/create|images/load|plugins/create|auth): \+body required$": "archives",
    r"^POST /(containers/{id}/(exec|update)|networks/.*|volumes/create): -body required$": "",
    r"^POST /images/{name}/push: -required header x-registry-auth$": "dockerd does without",
    # Fields of older versions, ignored since.
    r"\.KernelMemory(TCP)?$|\.Capabilities$|(Config|body)\.MacAddress$": "ignored since",
    r"^(GET|POST) /services.*-(result(\[\])?\.Spec|body)\.Networks$": "ignored since 1.44",
}
"""Differences from Docker's description with the reason, or None for the comment above."""


def unjustified(
    name: str, own: set[str], theirs: set[str], justified: dict[str, str] = JUSTIFIED
) -> list[str]:
    """Return the differences without a reason; of a whole subtree, only its top."""
    found = []
    for sign, here, there in (("+", own, theirs), ("-", theirs, own)):
        extra = here - there
        found += [
            f"{name}: {sign}{path}"
            for path in extra
            if not any(path.startswith((f"{other}.", f"{other}[", f"{other}{{")) for other in extra)
        ]
    return sorted(
        text for text in found if not any(re.search(pattern, text) for pattern in justified)
    )


def parameters(operation: Schema) -> dict[str, Schema]:
    return {
        f"{parameter['in']} {parameter['name'].lower()}": parameter
        for parameter in operation.get("parameters", ())
        if parameter["in"] in ("path", "query", "header")
    }


def properties(
    described: Schema, schema: Schema, path: str, within: tuple[str, ...] = ()
) -> Iterator[str]:
    """Yield the paths of all properties within a schema, with references resolved."""
    if reference := schema.get("$ref"):
        if reference in within:
            return
        found: Any = described
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]
        yield from properties(described, found, path, (*within, reference))
    for part in (*schema.get("allOf", ()), *schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from properties(described, part, path, within)
    for name, inner in schema.get("properties", {}).items():
        yield f"{path}.{name}"
        yield from properties(described, inner, f"{path}.{name}", within)
    for key, suffix in (("items", "[]"), ("additionalProperties", "{}")):
        if isinstance(schema.get(key), dict):
            yield from properties(described, schema[key], path + suffix, within)


def body_of(operation: Schema) -> tuple[Schema, bool]:
    """Return the schema of a request's body, and whether the body is mandatory."""
    if "requestBody" in operation:
        (content,) = operation["requestBody"]["content"].values()
        return content["schema"], operation["requestBody"]["required"]
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "body":
            return parameter["schema"], parameter.get("required", False)
    return {}, False


def result_of(operation: Schema) -> Schema:
    """Return the schema of a successful response."""
    for status, response in operation["responses"].items():
        if str(status).startswith("2"):
            content = response.get("content")
            if content:
                return next(iter(content.values()))["schema"]  # type: ignore[no-any-return] # JSON
            return response.get("schema", {})  # type: ignore[no-any-return] # YAML
    return {}


def shared_operations() -> list[str]:
    return sorted(set(operations(ours())) - OWN_OPERATIONS)


def test_operations_are_dockers():
    assert set(operations(ours())) - OWN_OPERATIONS == set(operations(dockers()))


def everything(described: Schema, operation: Schema) -> set[str]:
    """Return everything that is compared of one operation."""
    body, required = body_of(operation)
    return {
        *parameters(operation),
        *(f"required {name}" for name, it in parameters(operation).items() if it.get("required")),
        *properties(described, body, "body"),
        *(["body required"] if required else []),
        *properties(described, result_of(operation), "result"),
        *(f"status {status}" for status in operation["responses"]),
    }


@pytest.mark.parametrize("name", shared_operations())
def test_operation_is_dockers(name: str):
    own = everything(ours(), operations(ours())[name])
    theirs = everything(dockers(), operations(dockers())[name])
    # Docker's description often lacks errors that dockerd answers.
    own -= {status for status in own - theirs if status.startswith(("status 4", "status 5"))}
    assert unjustified(name, own, theirs) == []


def test_every_justification_is_needed():
    differences = []
    for name in shared_operations():
        own, theirs = operations(ours())[name], operations(dockers())[name]
        differences += unjustified(name, everything(ours(), own), everything(dockers(), theirs), {})
    unneeded = [
        pattern
        for pattern in JUSTIFIED
        if not any(re.search(pattern, text) for text in differences)
    ]
    assert unneeded == []
