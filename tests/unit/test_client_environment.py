"""The engine's address and the user's credentials, found as the docker CLI finds them."""

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

import palan
from palan.api.system import AuthConfig
from palan.client import errors
from palan.client._address import parse_address
from palan.client._credentials import registry_of
from palan.client._environment import Environment


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".docker").mkdir()
    return tmp_path


def environment(home: Path, config: Any = None, **variables: str) -> Environment:
    if config is not None:
        (home / ".docker" / "config.json").write_text(json.dumps(config))
    return Environment({"HOME": str(home), "PATH": os.environ["PATH"], **variables})


def add_context(home: Path, name: str, host: str, **more: Any) -> Path:
    digest = hashlib.sha256(name.encode()).hexdigest()
    meta = home / ".docker" / "contexts" / "meta" / digest
    meta.mkdir(parents=True)
    document = {"Name": name, "Endpoints": {"docker": {"Host": host, **more}}}
    (meta / "meta.json").write_text(json.dumps(document))
    return home / ".docker" / "contexts" / "tls" / digest / "docker"


def where(home: Path, config: Any = None, **variables: str) -> str:
    return str(environment(home, config, **variables).address(None, None, None))


def test_precedence(home: Path) -> None:
    add_context(home, "one", "tcp://one:1")
    add_context(home, "two", "ssh://me@two")
    assert where(home) == "unix:///var/run/docker.sock"
    config = {"currentContext": "one"}
    assert where(home, config) == "tcp://one:1"
    assert where(home, DOCKER_CONTEXT="two") == "ssh://me@two"
    assert where(home, DOCKER_CONTEXT="two", DOCKER_HOST="unix:///x") == "unix:///x"
    both = environment(home, DOCKER_HOST="unix:///x")
    assert str(both.address(None, "two", None)) == "ssh://me@two"
    assert str(both.address("tcp://three", None, None)) == "tcp://three:2375"
    with pytest.raises(errors.ConfigError, match="not both"):
        both.address("unix:///x", "two", None)
    assert where(home, DOCKER_CONTEXT="default") == "unix:///var/run/docker.sock"
    with pytest.raises(errors.ConfigError, match='context "none": context not found'):
        where(home, DOCKER_CONTEXT="none")
    with pytest.raises(errors.ConfigError, match="cannot be read"):
        (home / ".docker" / "config.json").write_text("{")
        where(home)


def test_other_directories(home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text('{"HttpHeaders": {"X-Meta": "1"}}')
    made = environment(home, DOCKER_CONFIG=str(other))
    assert made.headers() == {"X-Meta": "1"}
    assert environment(home, DOCKER_CUSTOM_HEADERS='A=1,"B=2,3"').headers() == {
        "A": "1",
        "B": "2,3",
    }
    with pytest.raises(errors.ConfigError):
        environment(home, DOCKER_CUSTOM_HEADERS="A").headers()


def test_versions_are_pinned() -> None:
    def client(**options: Any) -> palan.Client:
        return palan.Client("unix:///x", environ={"DOCKER_API_VERSION": "1.30"}, **options)

    assert str(client().negotiate()) == "1.30"
    assert str(client(version="v1.41").negotiate()) == "1.41"
    for wrong in ("nonsense", "1.23", "1.56", "2"):
        with pytest.raises(errors.ConfigError):
            client(version=wrong)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/run/x.sock", "unix:///run/x.sock"),
        ("unix://", "unix:///var/run/docker.sock"),
        ("tcp://host", "tcp://host:2375"),
        ("host:7", "tcp://host:7"),
        ("tcp://[::1]:7", "tcp://[::1]:7"),
        ("tcp://:7", "tcp://127.0.0.1:7"),
        ("http://host:7/", "tcp://host:7"),
        ("ssh://me@host:22", "ssh://me@host:22"),
        ("ssh://host/run/x.sock", "ssh://host/run/x.sock"),
    ],
)
def test_addresses(text: str, said: str) -> None:
    assert str(parse_address(text)) == said


@pytest.mark.parametrize(
    "text",
    ["npipe://x", "tcp://h:99999", "tcp://u@h", "tcp://h/p", "ssh://-oProxyCommand=x", "ssh://",
     "ssh://u:p@h", "tcp://h?x"],
)  # fmt: skip
def test_invalid_addresses(text: str) -> None:
    with pytest.raises(errors.ConfigError):
        parse_address(text)


# ---- credentials -------------------------------------------------------------------


def auth(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def helper(directory: Path, name: str, script: str) -> str:
    program = directory / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return f"{directory}:{os.environ['PATH']}"


def test_registries_of_images() -> None:
    hub = "https://index.docker.io/v1/"
    for image, registry in (
        ("busybox", hub),
        ("library/busybox:1", hub),
        ("docker.io/x/y", hub),
        ("localhost/x", "localhost"),
        ("host:5000/x@sha256:y", "host:5000"),
        ("quay.io/a/b", "quay.io"),
    ):
        assert registry_of(image) == registry


def test_credentials_of_config(home: Path) -> None:
    config = {
        "auths": {
            "https://index.docker.io/v1/": {"auth": auth("hub", "secret:with:colons")},
            "https://old.example.com/v1/": {"auth": auth("old", "p")},
            "token.example.com": {"identitytoken": "t"},
            "empty.example.com": {},
            "bad.example.com": {"auth": "%"},
        }
    }
    made = environment(home, config)
    assert made.credentials_of_image("busybox") == AuthConfig(
        username="hub",
        password="secret:with:colons",
        server_address="https://index.docker.io/v1/",
    )
    found = made.credentials_of_image("old.example.com/x")
    assert found is not None
    assert found.username == "old"
    assert "password" not in repr(found)
    assert made.credentials_of_image("token.example.com/x") == AuthConfig(
        identity_token="t", server_address="token.example.com"
    )
    assert made.credentials_of_image("empty.example.com/x") is None
    assert made.credentials_of_image("unknown.example.com/x") is None
    with pytest.raises(errors.ConfigError):
        made.credentials.get("bad.example.com")
    # The image may be public.
    assert made.credentials_of_image("bad.example.com/x") is None


def test_credential_helpers(home: Path) -> None:
    path = helper(
        home,
        "one",
        'read -r s; case "$s" in known) echo \'{"Username":"u","Secret":"p"}\';; '
        'token) echo \'{"Username":"<token>","Secret":"t"}\';; broken) echo "no keyring"; exit 2;; '
        '*) echo "credentials not found in native keychain"; exit 1;; esac',
    )
    config = {
        "credsStore": "one",
        "credHelpers": {"localhost:9": "none"},
        "auths": {"known": {}, "stale": {"auth": auth("x", "y")}},
    }
    made = environment(home, config, PATH=path).credentials
    assert made.get("known") == AuthConfig(username="u", password="p", server_address="known")
    assert made.get("token") == AuthConfig(identity_token="t", server_address="token")
    assert made.get("stale") is None
    with pytest.raises(errors.ConfigError, match="no keyring"):
        made.get("broken")
    with pytest.raises(errors.ConfigError, match="cannot be started"):
        made.get("localhost:9")


def test_credentials_of_the_environment_go_first(home: Path) -> None:
    text = json.dumps({"auths": {"host:1": {"auth": auth("e", "p")}}})
    made = environment(home, {"credsStore": "none"}, DOCKER_AUTH_CONFIG=text)
    found = made.credentials_of_image("host:1/x")
    assert found is not None
    assert found.username == "e"


def test_tls_wants_an_authority_as_docker_does(tmp_path: Path) -> None:
    variables = {"HOME": str(tmp_path), "DOCKER_HOST": "tcp://127.0.0.1:1"}
    for more in ({}, {"DOCKER_CERT_PATH": str(tmp_path / "nowhere")}):
        with pytest.raises(errors.ConfigError, match=r"ca\.pem"):
            palan.Client(environ={**variables, "DOCKER_TLS_VERIFY": "1", **more})
    for nothing in ("", None):
        environ = {**variables, **({} if nothing is None else {"DOCKER_TLS_VERIFY": nothing})}
        with palan.Client(environ=environ) as client:
            assert client.address.tls is None
