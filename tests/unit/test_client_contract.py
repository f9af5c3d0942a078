"""The methods of both clients are generated from the declarations, and their types are correct."""

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest

import palan
from palan.api.containers import EndpointSettings, HostConfig, Mount, NetworkingConfig
from palan.api.registry import GROUPS
from palan.api.system import AuthConfig
from palan.api.version import MAX_VERSION, MIN_VERSION, Version
from palan.client import errors
from palan.client._contract import plan
from palan.client._request import adapt, prepare
from palan.client._results import decode


ROOT = Path(__file__).parent.parent.parent
HOST = "unix:///nowhere"


def all_operations() -> list[str]:
    return [f"{group.name}.{endpoint.operation}" for group in GROUPS for endpoint in group]


def test_the_generated_halves_are_as_their_sources_say() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "client_calls.py", "--check"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_endpoint_has_a_method_in_both_faces() -> None:
    blocking, waiting = palan.Client(HOST), palan.AsyncClient(HOST)
    for group in GROUPS:
        for endpoint in group:
            for client in (blocking, waiting):
                method = getattr(getattr(client, group.name), endpoint.operation)
                words = " ".join((method.__doc__ or "").split())
                assert f"``{endpoint.method} {endpoint.path}``" in words


def public(thing: Any) -> dict[str, Any]:
    return {
        name: value
        for name, value in inspect.getmembers(thing)
        if not name.startswith("_") and callable(value) and not isinstance(value, type)
    }


def signature(function: Any) -> str:
    # Each client has types of its own; names and defaults are the same.
    words = re.sub(r"Async(?=[A-Z])|\b_a?sync\.", "", str(inspect.signature(function)))
    twice = "collections.abc.Iterable[bytes], collections.abc.Iterable[bytes]"
    return words.replace(twice, "collections.abc.Iterable[bytes]")


def test_the_two_faces_are_equal() -> None:
    blocking, waiting = palan.Client(HOST), palan.AsyncClient(HOST)
    pairs: list[tuple[Any, Any]] = [(blocking, waiting)]
    pairs += [(getattr(blocking, group.name), getattr(waiting, group.name)) for group in GROUPS]
    from palan.client._async import response as async_response
    from palan.client._async import streams as async_streams
    from palan.client._sync import response as sync_response
    from palan.client._sync import streams as sync_streams

    pairs += [
        (getattr(sync_streams, name.removeprefix("Async")), getattr(async_streams, name))
        for name in async_streams.__all__
    ]
    pairs.append((sync_response.Response, async_response.AsyncResponse))
    for one, other in pairs:
        mine, theirs = public(one), public(other)
        assert mine.keys() == theirs.keys()
        for name, function in mine.items():
            assert signature(function) == signature(theirs[name]), name


def test_importing_is_cheap() -> None:
    program = (
        "import sys; import palan; assert 'typing' not in sys.modules; "
        "palan.Client('unix:///x'); "
        "assert 'asyncio' not in sys.modules and 'palan.engine' not in sys.modules; "
        "assert 'palan.api.containers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env={"HOME": "/"})


USER = """
import asyncio
import palan
from palan.api.containers import ContainerSummary, HostConfig

def blocking() -> list[str]:
    with palan.Client() as client:
        made = client.containers.create(
            image="busybox", cmd=["true"], name="web", host_config=HostConfig(memory=1 << 20)
        )
        client.containers.start(made.id, timeout=5)
        reveal_type(client.containers.list(all=True, filters={"label": "a", "status": ["running"]}))
        reveal_type(client.containers.inspect(made.id).state.health)
        for event in client.system.events():
            reveal_type(event)
        for output in client.containers.logs("web", stdout=True):
            reveal_type(output.data)
        return [name for one in client.containers.list() for name in one.names]

async def waiting() -> None:
    async with palan.AsyncClient("tcp://127.0.0.1:1") as client:
        reveal_type(await client.images.list())
        async with client.containers.logs("web", follow=True) as logs:
            async for output in logs:
                print(output.stream)
        reveal_type(await client.swarm.init(listen_addr="0.0.0.0"))

try:
    blocking()
except palan.errors.NotFound as error:
    reveal_type(error.status)

with palan.Client() as client:
    client.containers.start(7)
    client.containers.create(image="x", nonsense=1)
"""

SAID = [
    "list[palan.api._container_inspect.ContainerSummary]",
    "palan.api._container_inspect.Health | msgspec",
    "palan.api._events.EventMessage",
    "bytes",
    "list[palan.api._image_messages.ImageSummary]",
    "str",
    "int",
]


def test_a_users_program_is_checked_strictly(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(USER)
    done = subprocess.run(
        [
            sys.executable, "-m", "mypy", "--strict", "--config-file", "",
            "--cache-dir", ROOT / ".mypy_cache" / "user", program,
        ],
        check=False, capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    revealed = re.findall(r'Revealed type is "(.*)"', done.stdout)
    assert len(revealed) == len(SAID), done.stdout
    for told, expected in zip(revealed, SAID, strict=True):
        assert told.replace("builtins.", "").startswith(expected)
    mistakes = re.findall(r"error: (.*)", done.stdout)
    assert len(mistakes) == 2, done.stdout
    assert 'has incompatible type "int"; expected "str"' in mistakes[0]
    assert 'Unexpected keyword argument "nonsense"' in mistakes[1]


# ---- requests ----------------------------------------------------------------------


def sent(operation: str, version: str = str(MAX_VERSION), **arguments: Any) -> tuple[str, Any]:
    prepared = prepare(operation, arguments)
    adapt(prepared, Version.parse(version))
    body = prepared.body
    return prepared.target, msgspec.json.decode(body) if isinstance(body, bytes) else body


def test_only_what_was_said_is_sent() -> None:
    assert sent("containers.list") == ("/containers/json", None)
    target, _ = sent("containers.list", all=True, filters={"label": ["a", "b"], "is-task": False})
    assert parse_qs(target.partition("?")[2]) == {
        "all": ["1"],
        "filters": ['{"label":["a","b"],"is-task":["false"]}'],
    }
    target, body = sent(
        "containers.create", image="x", name="web", host_config=HostConfig(memory=5)
    )
    assert target == "/containers/create?name=web"
    assert body == {"Image": "x", "HostConfig": {"Memory": 5}}


def test_names_lead_nowhere_else() -> None:
    assert sent("images.inspect", name="host:5000/a b@sha256:c")[0] == (
        "/images/host:5000/a%20b@sha256:c/json"
    )
    assert sent("containers.start", id="a/b?c#d")[0] == "/containers/a%2Fb%3Fc%23d/start"
    for wrong in ("", "..", "../images", "a//b"):
        with pytest.raises(ValueError, match="cannot be"):
            sent("images.inspect", name=wrong)


def test_credentials_are_a_header() -> None:
    prepared = prepare(
        "images.push", {"name": "x", "registry_auth": AuthConfig(username="u", password="p")}
    )
    header = dict(prepared.headers)["X-Registry-Auth"]
    import base64

    assert msgspec.json.decode(base64.urlsafe_b64decode(header)) == {
        "username": "u",
        "password": "p",
    }
    assert prepare("images.push", {"name": "host:1/x"}).wants_auth == "host:1/x"


@pytest.mark.parametrize(
    ("operation", "version", "arguments", "words"),
    [
        ("containers.prune", "1.24", {}, "needs API version 1.25"),
        ("images.attestations", "1.54", {"name": "x"}, "needs API version 1.55"),
        ("containers.create", "1.40", {"platform": "linux/arm64"}, "platform is not known"),
        (
            "containers.create",
            "1.42",
            {"host_config": HostConfig(annotations={"a": "b"})},
            "HostConfig.Annotations is not known to API version 1.42",
        ),
        (
            "containers.create",
            "1.47",
            {"host_config": HostConfig(mounts=[Mount(type="image", target="/x")])},
            "needs API v1.48",
        ),
        ("volumes.prune", "1.41", {}, "named volumes too"),
    ],
)
def test_fields_that_an_older_engine_would_ignore_are_refused(
    operation: str, version: str, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(errors.NotSupported, match=words):
        sent(operation, version, **arguments)
    if "named" not in words:
        sent(operation, str(MAX_VERSION), **arguments)


def test_moved_fields_are_sent_in_their_old_place() -> None:
    networking = NetworkingConfig(
        endpoints_config={"net": EndpointSettings(mac_address="02:00:00:00:00:01")}
    )
    _, body = sent("containers.create", "1.43", image="x", networking_config=networking)
    assert body["MacAddress"] == "02:00:00:00:00:01"
    assert sent("build.prune", "1.47", reserved_space=5)[0] == "/build/prune?keep-storage=5"
    assert (
        sent("volumes.prune", "1.41", filters={"all": True, "label": "x"})[0]
        == (sent("volumes.prune", str(MAX_VERSION), filters={"label": "x"})[0])
    )


def test_every_endpoint_can_be_asked_at_every_version() -> None:
    """A request with only mandatory arguments works in the version that introduced it."""
    for group in GROUPS:
        for endpoint in group:
            operation = f"{group.name}.{endpoint.operation}"
            arguments: dict[str, Any] = dict.fromkeys(endpoint.path_parameters, "x")
            if operation == "volumes.prune":
                arguments["filters"] = {"all": True}
            prepared = prepare(operation, arguments)
            adapt(prepared, max(endpoint.since, MIN_VERSION))
            assert "{" not in prepared.target


# ---- responses ---------------------------------------------------------------------


def test_null_and_absence_are_the_default() -> None:
    from palan.api.containers import ContainerSummary

    (one,) = decode(
        "containers.list",
        Version(1, 55),
        list[ContainerSummary],
        b'[{"Names":null,"Labels":null,"Mounts":null,"Unheard":1}]',
    )
    assert (one.id, one.names, one.labels) == ("", [], {})


def test_null_for_a_list_is_an_empty_list() -> None:
    from palan.api.containers import ContainerInspectResponse, FilesystemChange
    from palan.api.images import ImagePruneResponse

    newest = Version(1, 55)
    for version in (newest, Version(1, 40)):
        assert decode("containers.changes", version, list[FilesystemChange], b"null") == []
    pruned = decode("images.prune", newest, ImagePruneResponse, b'{"ImagesDeleted":null}')
    assert pruned.images_deleted == []
    found = decode(
        "containers.inspect",
        newest,
        ContainerInspectResponse,
        b'{"Id":"x","ExecIDs":null,"Args":null,"Mounts":null,'
        b'"Config":{"Cmd":null,"Entrypoint":null,"ExposedPorts":{"80/tcp":null}},'
        b'"HostConfig":{"Binds":null,"MaskedPaths":null},'
        b'"NetworkSettings":{"Ports":{"80/tcp":null},"Networks":{"n":{"Aliases":null}}}}',
    )
    assert (found.exec_ids, found.args, found.mounts) == ([], [], [])
    assert (found.config.cmd, found.host_config.binds) == ([], [])
    assert found.network_settings.networks["n"].aliases == []
    # Keys stay, even if their values are null.
    assert found.network_settings.ports == {"80/tcp": []}
    assert [*found.config.exposed_ports] == ["80/tcp"]
    # An empty entrypoint removes the image's one, and empty paths mask nothing.
    assert found.config.entrypoint is None
    assert found.host_config.masked_paths is None
    # What was read can be sent again, and means the same.
    _, document = sent("containers.create", host_config=found.host_config, entrypoint=[])
    assert document == {"HostConfig": {}, "Entrypoint": []}


@pytest.mark.parametrize("operation", sorted(all_operations()))
def test_every_result_may_be_null(operation: str) -> None:
    """A result of Go that is a nil slice, map or pointer arrives as null."""
    kind = getattr(plan(operation).endpoint.result, "type", None)
    if kind is not None:
        for version in (Version(1, 55), MIN_VERSION):
            made = decode(operation, version, kind, b"null")
            assert made is not None or kind is Any


def test_older_answers_are_lifted() -> None:
    from palan.api.containers import ContainerSummary
    from palan.api.images import ImageSummary
    from palan.api.system import SystemDataUsageResponse

    (image,) = decode(
        "images.list",
        Version(1, 41),
        list[ImageSummary],
        b'[{"Id":"x","RepoTags":["<none>:<none>"],"RepoDigests":["<none>@<none>"]}]',
    )
    assert (image.repo_tags, image.repo_digests) == ([], [])
    (container,) = decode(
        "containers.list",
        Version(1, 41),
        list[ContainerSummary],
        b'[{"Id":"x","Status":"Up 2 hours (unhealthy)"}]',
    )
    assert container.health.status == "unhealthy"
    usage = decode(
        "system.disk_usage",
        Version(1, 41),
        SystemDataUsageResponse,
        b'{"LayersSize":10,"Images":[{"Id":"x","Containers":1,"Size":4}],"Volumes":null}',
    )
    assert (usage.image_usage.total_size, usage.image_usage.reclaimable) == (10, 6)
