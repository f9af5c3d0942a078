"""The endpoints against Docker's description of 1.55 and its list of endpoints."""

import re
from typing import Any, get_origin

import pytest
from tests.support.contract import description, listed_endpoints

from palan.api import MIN_VERSION, Filters, Version
from palan.api.endpoint import Endpoint, Field
from palan.api.registry import GROUPS, endpoints
from palan.api.results import ByteSource


GROUPS_HERE = {"containers", "exec", "images", "networks", "volumes", "system", "build"}

UNDESCRIBED_PATHS = {
    # Endpoints of dockerd, or of Palan alone, that Docker's description lacks.
    ("GET", "/containers/{}/checkpoints"),
    ("POST", "/containers/{}/checkpoints"),
    ("DELETE", "/containers/{}/checkpoints/{}"),
    ("POST", "/build/cancel"),
    ("POST", "/grpc"),
    ("GET", "/openapi.json"),
}

UNDESCRIBED_PARAMETERS = {
    "containers.logs": {"details"},
    "containers.start": {"checkpoint", "checkpoint-dir"},
    "build.build": {
        *("buildid", "session", "ulimits", "securityopt"),
        *("cgroupparent", "cpusetmems"),
    },
    "build.prune": {"keep-storage"},
    "networks.list": {"containers"},
}

# Described as required, but for dockerd, absence means an empty object or string.
OPTIONAL_HERE = {"body", "X-Registry-Auth"}


@pytest.fixture(scope="module")
def spec() -> Any:
    return description()


def shape(path: str) -> str:
    """Return a path without the names of its parameters."""
    return re.sub(r"{[^}]*}", "{}", path)


def declared() -> dict[tuple[str, str], Endpoint]:
    return {(one.method, shape(one.path)): one for one in endpoints()}


def of_these_groups() -> list[Endpoint]:
    return [one for one in endpoints() if one.group in GROUPS_HERE]


def described_here(spec: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    others = {"Swarm", "Node", "Service", "Task", "Secret", "Config", "Plugin"}
    return {
        (method.upper(), shape(path)): entry
        for path, methods in spec["paths"].items()
        for method, entry in methods.items()
        if not others & set(entry["tags"])
    }


def test_every_described_endpoint_is_declared(spec):
    ours = {key for key, one in declared().items() if one.group in GROUPS_HERE}
    assert ours - UNDESCRIBED_PATHS == set(described_here(spec))


def test_every_listed_endpoint_is_declared():
    listed = listed_endpoints()
    assert [one for one in listed if one not in declared()] == []
    assert len(listed) == 103


def test_query_parameters_are_those_described(spec):
    ours = declared()
    for key, entry in described_here(spec).items():
        endpoint = ours[key]
        operation = endpoint.name
        given = {one.wire_name for one in query_fields(endpoint)}
        described = {one["name"] for one in entry.get("parameters", ()) if one["in"] == "query"}
        assert given - described == UNDESCRIBED_PARAMETERS.get(operation, set()), operation
        assert described <= given, operation


def test_bodies_and_required_parameters_are_those_described(spec):
    ours = declared()
    for key, entry in described_here(spec).items():
        endpoint = ours[key]
        described = {
            "body" if one["in"] == "body" else one["name"]: one.get("required", False)
            for one in entry.get("parameters", ())
            if one["in"] in {"query", "body"}
        }
        assert (endpoint.body is not None) == ("body" in described), endpoint
        given = {one.wire_name: one.required for one in query_fields(endpoint)}
        for name, required in described.items():
            if name not in OPTIONAL_HERE:
                assert given[name] == required, f"{endpoint}: {name}"


def test_types_of_query_parameters_are_those_described(spec):
    # Types that the description has narrower or wider than dockerd.
    otherwise = {
        ("containers.logs", "since"): str,  # fractions of seconds
        ("containers.logs", "until"): str,
        ("containers.archive_put", "noOverwriteDirNonDir"): bool,
        ("containers.archive_put", "copyUIDGID"): bool,
        ("build.build", "t"): list,  # repeatable
        ("build.build", "extrahosts"): list,
        ("build.build", "pull"): bool,
        ("images.commit", "changes"): list,
    }
    python = {"string": str, "boolean": bool, "integer": int, "array": list}
    ours = declared()
    for key, entry in described_here(spec).items():
        endpoint = ours[key]
        operation = endpoint.name
        types = {one.wire_name: one.kind for one in query_fields(endpoint)}
        for one in entry.get("parameters", ()):
            if one["in"] != "query":
                continue
            kind = types[one["name"]]
            if one["name"] == "filters":
                assert kind is Filters
                continue
            plain = get_origin(kind) if get_origin(kind) is list else kind
            if kind == (int | None):
                plain = int
            expected = otherwise.get((operation, one["name"]), python[one["type"]])
            assert plain is expected, f"{operation}: {one['name']}"


def test_success_statuses_are_those_described(spec):
    ours = declared()
    for key, entry in described_here(spec).items():
        statuses = {int(status) for status in entry["responses"]}
        status = ours[key].result.status
        upgraded = status == 200 and 101 in statuses
        assert status in statuses or upgraded, key


@pytest.mark.parametrize("endpoint", list(endpoints()), ids=str)
def test_path_parameters_are_fields(endpoint):
    fields = {one.name: one for one in endpoint.fields}
    for name in endpoint.path_parameters:
        assert fields[name].kind is str
        assert fields[name].required


def test_groups_and_operations_are_named_once():
    assert len({group.name for group in GROUPS}) == len(GROUPS) == 14
    operations = [one.name for one in endpoints()]
    assert len(operations) == len(set(operations))
    assert len(declared()) == len(operations)


def test_every_endpoint_says_what_it_does():
    for one in endpoints():
        assert one.summary.endswith(".") or one.summary.endswith(":"), one
        assert one.summary[0].isupper(), one


@pytest.mark.parametrize("endpoint", of_these_groups(), ids=str)
def test_query_parameters_have_types_that_can_be_read(endpoint):
    readable = {str, bool, int, int | None, list[str], Filters}
    for one in query_fields(endpoint):
        assert one.kind in readable, one.name


def test_names_with_slashes_are_taken_whole():
    for one in of_these_groups():
        if one.path.startswith(("/images/{", "/distribution/{")):
            assert "{name...}" in one.path, one


@pytest.mark.parametrize(
    ("operation", "since"),
    [
        ("containers.list", MIN_VERSION),
        ("containers.prune", Version(1, 25)),
        ("images.prune", Version(1, 25)),
        ("networks.prune", Version(1, 25)),
        ("volumes.prune", Version(1, 25)),
        ("volumes.update", Version(1, 42)),
        ("images.distribution_inspect", Version(1, 30)),
        ("images.attestations", Version(1, 55)),
        ("build.prune", Version(1, 31)),
        ("build.session", Version(1, 31)),
    ],
)
def test_endpoints_came_in_when_docker_had_them(operation, since):
    found = {one.name: one for one in endpoints()}
    assert found[operation].since == since


def test_streamed_bodies():
    streamed = {one.name for one in endpoints() if one.body == ByteSource}
    assert {
        "containers.archive_put",
        "images.create",
        "images.load",
        "build.build",
    } <= streamed


def query_fields(endpoint: Endpoint) -> list[Field]:
    """Return the fields of a request that are sent in the query."""
    return [one for one in endpoint.fields if one.place == "query"]
