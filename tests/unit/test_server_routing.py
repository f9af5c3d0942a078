import pytest
from hypothesis import given
from hypothesis import strategies as st

from palan.api import Group, Request
from palan.api.registry import endpoints
from palan.api.results import NO_CONTENT
from palan.api.version import MAX_VERSION
from palan.server.routing import BadTarget, Found, Redirect, Router, Target, split_target


group = Group("things", "Things.")


def declare(method, path):
    @group.endpoint(method, path, operation=f"{method} {path}", result=NO_CONTENT)
    class _Request(Request):
        pass


for declared in (
    "GET /things/json",
    "GET /things/{id}/json",
    "GET /images/{name...}/json",
    "GET /images/{name...}/get",
    "GET /images/get",
    "GET /images/json",
    "DELETE /images/{name...}",
    "GET /things/{id}/attach/ws",
    "GET /things/{id}/parts/{part}",
    "GET /info",
    "GET /networks",
    "GET /networks/{id...}",
):
    declare(*declared.split(" "))

router = Router(group)


def find(method, target):
    return router.find(method, split_target(target))


@pytest.mark.parametrize(
    ("request_", "operation", "parameters", "version"),
    [
        ("GET /info", "GET /info", {}, ""),
        ("GET /v1.41/info?x=/y", "GET /info", {}, "1.41"),
        ("GET /v1.41.0/info", "GET /info", {}, "1.41.0"),
        ("GET /v1.041/info", "GET /info", {}, "1.041"),
        ("GET http://docker/v1.24/info", "GET /info", {}, "1.24"),
        ("GET /networks/", "GET /networks", {}, ""),
        ("GET /v1.41/networks/?filters={}", "GET /networks", {}, "1.41"),
        ("GET /networks/a", "GET /networks/{id...}", {"id": "a"}, ""),
        ("GET /things/json", "GET /things/json", {}, ""),
        ("GET /things/a/json", "GET /things/{id}/json", {"id": "a"}, ""),
        ("GET /things/a%20b/json", "GET /things/{id}/json", {"id": "a b"}, ""),
        ("GET /things/json/json", "GET /things/{id}/json", {"id": "json"}, ""),
        (
            "GET /things/a/parts/b",
            "GET /things/{id}/parts/{part}",
            {"id": "a", "part": "b"},
            "",
        ),
        (
            "GET /images/r.example:5000/a/b:1/json",
            "GET /images/{name...}/json",
            {"name": "r.example:5000/a/b:1"},
            "",
        ),
        ("GET /images/a%2Fb/json", "GET /images/{name...}/json", {"name": "a/b"}, ""),
        ("GET /images/json/json", "GET /images/{name...}/json", {"name": "json"}, ""),
        ("GET /images/json", "GET /images/json", {}, ""),
        ("GET /images/get", "GET /images/get", {}, ""),
        ("DELETE /images/a/b", "DELETE /images/{name...}", {"name": "a/b"}, ""),
    ],
)
def test_found(request_, operation, parameters, version):
    found = find(*request_.split(" ", 1))
    assert isinstance(found, Found)
    assert found.endpoint is not None
    assert found.endpoint.operation == operation
    assert found.parameters == parameters
    assert found.version == version


@pytest.mark.parametrize(
    "request_",
    [
        "GET /",
        "GET /nowhere",
        "GET /info/",
        "GET /things",
        "GET /things/",
        "GET /things/a/b/json",
        "GET /things/json/",
        "POST /info",
        "HEAD /info",
        "get /info",
        "GET /v/info",
        "GET /v1.x/info",
        "GET /v1..2/info",
        "GET /v1.41",
        "GET /v1.41/v1.41/info",
        "GET /images/",
        "DELETE /images/",
    ],
)
def test_not_found(request_):
    assert find(*request_.split(" ")) is None


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("//info", "/info"),
        (f"/v{MAX_VERSION}//info", f"/v{MAX_VERSION}/info"),
        ("/things/../info?a=b", "/info?a=b"),
        ("/./info/", "/info/"),
        ("/..", "/"),
        ("//", "/"),
        ("//evil.example/x", "/evil.example/x"),
        ("/a%2F%2Fb", "/a/b"),
        ("/a%0d%0aX:y//b", "/a%0D%0AX:y/b"),
        ("*", "/%2A"),
    ],
)
def test_unclean_paths_are_redirected(target, location):
    assert find("GET", target) == Redirect(location)


@pytest.mark.parametrize("target", ["info", "", "/%zz", "/%f", "http:", "http://", "docker:80"])
def test_invalid_targets(target):
    with pytest.raises(BadTarget):
        split_target(target)


def test_options_is_for_every_path():
    assert find("OPTIONS", "/v1.41/whatever") == Found(None, {}, "1.41")


def test_a_fragment_is_nothing():
    assert split_target("/info?a#b") == Target("/info", "a")


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60))
def test_any_target_is_answered(target):
    try:
        found = find("GET", "/" + target)
    except BadTarget:
        return
    if isinstance(found, Redirect):
        assert found.location.startswith("/")
        assert not found.location.startswith("//")
        again = find("GET", found.location)
        assert not isinstance(again, Redirect)


def test_every_endpoint_is_found_by_its_own_path():
    whole = Router(endpoints())
    for endpoint in endpoints():
        path = endpoint.path.replace("...}", "}").replace("{", "x").replace("}", "x")
        found = whole.find(endpoint.method, Target(path, ""))
        assert isinstance(found, Found)
        assert found.endpoint is endpoint
        assert set(found.parameters) == set(endpoint.path_parameters)
