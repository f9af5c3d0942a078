"""Requests are decoded as the declarations of their endpoints say."""

import json
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palan.api import Filters
from palan.api.annotations import Filter, FilterSet, Header, Integer, NotEmpty, StrictBoolean
from palan.api.auth import AuthConfig
from palan.api.booleans import BOOLEANS
from palan.api.codec import decode_header, decode_request
from palan.api.endpoint import Endpoint, Field
from palan.api.errors import InvalidParameter
from palan.api.openapi import document
from palan.api.registry import endpoints
from palan.api.version import MAX_VERSION


ENDPOINTS = {endpoint.name: endpoint for endpoint in endpoints()}
FILTERED = [endpoint for endpoint in endpoints() if endpoint.filters is not None]
CHECKED = [
    endpoint
    for endpoint in FILTERED
    if endpoint.filters and not (endpoint.filters.late or endpoint.filters.ignores_unknown)
]
SAMPLES = {"str": "x", "int": "1", "bool": "1"}


def fields(kind: type) -> list[Any]:
    return [
        pytest.param(endpoint, field, id=f"{endpoint.name}-{field.wire_name}")
        for endpoint in endpoints()
        for field in endpoint.fields
        if field.annotation(kind) is not None
    ]


def names(some: list[Endpoint]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("endpoint", some, ids=[one.name for one in some])


def decoded(
    endpoint: Endpoint,
    query: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
    unread: list[str] | None = None,
) -> Any:
    """A request with these parameters, and with sensible ones where they must be given."""
    required = {
        field.wire_name: [SAMPLES[field.kind.__name__]]
        for field in endpoint.fields
        if field.place == "query" and field.required
    }
    return decode_request(
        endpoint,
        path=dict.fromkeys(endpoint.path_parameters, "x"),
        query={**required, **{name: [value] for name, value in (query or {}).items()}},
        headers={"content-type": "application/json", **(headers or {})},
        body=b"null" if endpoint.body is not None else None,
        version=MAX_VERSION,
        unread=unread,
    )


def refusal(endpoint: Endpoint, **query: str) -> str:
    with pytest.raises(InvalidParameter) as caught:
        decoded(endpoint, query)
    return caught.value.message


# ---- filters --------------------------------------------------------------------


def test_every_parameter_of_filters_declares_them():
    undeclared = [
        endpoint.name
        for endpoint in endpoints()
        for field in endpoint.fields
        if field.kind is Filters and field.annotation(FilterSet) is None
    ]
    assert undeclared == []


def accepted(declared: Filter) -> st.SearchStrategy[str]:
    return st.sampled_from(declared.values) if declared.values else st.text(max_size=8)


@names(FILTERED)
@given(st.data())
def test_each_declared_filter_is_accepted(endpoint: Endpoint, data: st.DataObject):
    assert endpoint.filters is not None
    for declared in endpoint.filters.filters:
        values = data.draw(st.lists(accepted(declared), max_size=3))
        request = decoded(endpoint, {"filters": json.dumps({declared.name: values})})
        assert request.filters.get(declared.name) == values


@names(CHECKED)
@given(name=st.text(max_size=8), values=st.lists(st.text(max_size=8), max_size=2))
def test_an_undeclared_filter_is_refused(endpoint: Endpoint, name: str, values: list[str]):
    assert endpoint.filters is not None
    if name in {declared.name for declared in endpoint.filters.filters}:
        return
    message = refusal(endpoint, filters=json.dumps({name: values}))
    before = "failed to prune build cache: " if endpoint.name == "build.prune" else ""
    assert message == f"{before}invalid filter '{name}'"


@names(FILTERED)
def test_malformed_filters_are_refused(endpoint: Endpoint):
    before = "error reading volume filters: " if endpoint.name == "volumes.list" else ""
    assert refusal(endpoint, filters="{") == f"{before}invalid filter"


@pytest.mark.parametrize(
    ("operation", "filters", "message"),
    [
        (
            "containers.list",
            {"status": ["running", "up"]},
            (
                "invalid filter 'status=up': invalid value for state (up): must be one of"
                " created, running, paused, restarting, removing, exited, dead"
            ),
        ),
        (
            "containers.list",
            {"health": ["good"]},
            (
                "invalid filter 'health=good': invalid value for health (good): must be one of"
                " none, starting, healthy, unhealthy"
            ),
        ),
        ("containers.list", {"status": ["up"], "bogus": []}, "invalid filter 'bogus'"),
        ("networks.list", {"type": ["own"]}, "invalid filter: 'type'='own'"),
    ],
)
def test_values_are_refused_in_dockerds_words(operation: str, filters: Any, message: str):
    assert refusal(ENDPOINTS[operation], filters=json.dumps(filters)) == message


def test_events_ignore_names_that_dockerd_does_not_know():
    assert decoded(ENDPOINTS["system.events"], {"filters": '{"x":["y"]}'}).filters.get("x") == ["y"]


def test_managers_of_a_swarm_check_filters_after_their_state():
    endpoint = ENDPOINTS["nodes.list"]
    request = decoded(endpoint, {"filters": '{"bogus":["y"]}'})
    assert endpoint.filters is not None
    with pytest.raises(InvalidParameter, match="invalid filter 'bogus'"):
        endpoint.filters.check(request.filters)


# ---- other parameters -----------------------------------------------------------


@pytest.mark.parametrize(("endpoint", "field"), fields(StrictBoolean))
def test_strict_booleans_are_gos_words_only(endpoint: Endpoint, field: Field):
    for word, meaning in BOOLEANS.items():
        assert getattr(decoded(endpoint, {field.wire_name: word}), field.name) is meaning
    assert getattr(decoded(endpoint, {field.wire_name: ""}), field.name) is False
    message = refusal(endpoint, **{field.wire_name: "yes"})
    why = "" if endpoint.group == "swarm" else ': strconv.ParseBool: parsing "yes": invalid syntax'
    assert message == f"invalid value for {field.wire_name}: yes{why}"


def test_strict_booleans_are_these():
    assert {one.id for one in fields(StrictBoolean)} == {
        "networks.inspect-verbose",
        "services.inspect-insertDefaults",
        "services.list-status",
        "swarm.update-rotateManagerToken",
        "swarm.update-rotateManagerUnlockKey",
        "swarm.update-rotateWorkerToken",
    }


@pytest.mark.parametrize(("endpoint", "field"), fields(Integer))
def test_integers_are_read_and_refused_by_name(endpoint: Endpoint, field: Field):
    assert getattr(decoded(endpoint, {field.wire_name: "12"}), field.name) == 12
    message = refusal(endpoint, **{field.wire_name: "many"})
    subject = {"h": "height", "w": "width"}.get(field.wire_name, field.wire_name)
    assert subject in message
    assert message.startswith("invalid ") or "got many" in message


@pytest.mark.parametrize(("endpoint", "field"), fields(NotEmpty))
def test_parameters_that_must_not_be_empty(endpoint: Endpoint, field: Field):
    message = f"bad parameter: {field.wire_name} cannot be empty"
    assert refusal(endpoint, **{field.wire_name: ""}) == message


# ---- credentials ----------------------------------------------------------------


def encoded(value: object) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize(
    "endpoint",
    [one.values[0] for one in fields(Header) if one.values[1].wire_name == "X-Registry-Auth"],
    ids=lambda endpoint: endpoint.name,
)
def test_registry_auth_is_decoded(endpoint: Endpoint):
    auth = AuthConfig(username="ü?>", password="p", server_address="r:5000")
    text = encoded({"username": "ü?>", "password": "p", "serveraddress": "r:5000", "more": 1})
    for given_text in (text, text.rstrip("=")):
        assert decoded(endpoint, headers={"x-registry-auth": given_text}).registry_auth == auth
    for none in ({}, {"x-registry-auth": ""}):
        assert decoded(endpoint, headers=none).registry_auth is None


@pytest.mark.parametrize("text", ["x", "e", encoded([]), encoded({"username": 5}), "{}", "\xff"])
def test_registry_auth_that_cannot_be_decoded_is_ignored(text: str):
    unread: list[str] = []
    request = decoded(ENDPOINTS["images.push"], headers={"x-registry-auth": text}, unread=unread)
    assert request.registry_auth is None
    assert unread == ["X-Registry-Auth"]


@given(st.text(max_size=40))
def test_any_text_is_credentials_or_refused(text: str):
    try:
        auth = decode_header(AuthConfig, text)
    except InvalidParameter:
        return
    assert isinstance(auth, AuthConfig)


@given(st.builds(AuthConfig, username=st.text(), password=st.text(), identity_token=st.text()))
def test_credentials_are_decoded_with_and_without_padding(auth: AuthConfig):
    document = {
        "username": auth.username,
        "password": auth.password,
        "identitytoken": auth.identity_token,
    }
    text = urlsafe_b64encode(json.dumps(document).encode()).decode()
    assert decode_header(AuthConfig, text) == decode_header(AuthConfig, text.rstrip("=")) == auth


def test_registry_config_has_credentials_by_registry():
    build = ENDPOINTS["build.build"]
    text = encoded({"r:5000": {"username": "me", "password": "p"}, "https://r/v1/": {}})
    assert decoded(build, headers={"x-registry-config": text}).registry_config == {
        "r:5000": AuthConfig(username="me", password="p"),
        "https://r/v1/": AuthConfig(),
    }
    assert decoded(build).registry_config == {}
    assert decoded(build, headers={"x-registry-config": "null"}).registry_config == {}


# ---- the published description -----------------------------------------------------


def parameter(path: str, method: str, name: str) -> Any:
    (found,) = (
        one for one in document()["paths"][path][method]["parameters"] if one["name"] == name
    )
    return found


def test_filters_are_described():
    schema = parameter("/containers/json", "get", "filters")["schema"]
    described = schema["contentSchema"]
    declared = ENDPOINTS["containers.list"].filters
    assert declared is not None
    assert set(described["properties"]) == {one.name for one in declared.filters}
    assert described["properties"]["health"]["items"]["enum"] == [
        "none", "starting", "healthy", "unhealthy",
    ]  # fmt: skip
    assert described["additionalProperties"] is False
    events = parameter("/events", "get", "filters")["schema"]["contentSchema"]
    assert events["additionalProperties"] is True


def test_kinds_of_parameters_are_described():
    assert parameter("/containers/{id}/resize", "post", "h")["schema"] == {"type": "integer"}
    verbose = parameter("/networks/{id}", "get", "verbose")["schema"]
    assert verbose == {"type": "boolean", "default": False}
    assert parameter("/containers/{id}/archive", "get", "path")["schema"]["minLength"] == 1


def test_credentials_are_described():
    schema = parameter("/images/create", "post", "X-Registry-Auth")["schema"]
    assert schema["contentEncoding"] == "base64"
    assert schema["contentSchema"] == {"$ref": "#/components/schemas/AuthConfig"}
    schema = parameter("/build", "post", "X-Registry-Config")["schema"]
    assert schema["contentSchema"]["additionalProperties"] == {
        "$ref": "#/components/schemas/AuthConfig"
    }
