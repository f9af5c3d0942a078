"""Options of ``run``, ``launch`` and ``build`` that do not exist, or lack another one."""

import pydoc
from typing import Any

import pytest

import palan
from palan.api.containers import HealthConfig, HostConfig, Mount, Ulimit
from palan.client._run_options import RunOptions, check_run_options, create_arguments


HOST = "unix:///nowhere"


@pytest.mark.parametrize(
    ("call", "option", "hint"),
    [
        ("run", {"mem_limit": "64m"}, "use memory"),
        ("run", {"environment": {"A": "1"}}, "use env"),
        ("run", {"detach": True}, "use launch()"),
        ("run", {"auto_remove": True}, "use launch()"),
        ("run", {"restart_policy": {}}, "use restart"),
        ("run", {"network_mode": "host"}, "use network"),
        ("run", {"hostnam": "box"}, "use hostname"),
        ("run", {"remve": False}, "use remove"),
        ("run", {"cpu_shares": 3}, "use host_config=HostConfig(cpu_shares=...)"),
        ("run", {"domainname": "d"}, "use create(domainname=...) and start()"),
        ("launch", {"remove": True}, "use auto_remove"),
        ("launch", {"timeout": 3}, "use run()"),
        ("build", {"tag": "x"}, "use tags"),
        ("build", {"nocache": True}, "use no_cache"),
    ],
)
async def test_an_unknown_option_is_refused_with_a_hint(
    call: str, option: dict[str, Any], hint: str
) -> None:
    room = "images" if call == "build" else "containers"
    arguments = ["."] if call == "build" else ["busybox"]
    name = next(iter(option))
    expected = f"{call}() got an unexpected keyword argument {name!r}; {hint}"
    with pytest.raises(TypeError) as caught:
        getattr(getattr(palan.Client(HOST), room), call)(*arguments, **option)
    assert str(caught.value).startswith(expected)
    with pytest.raises(TypeError) as caught:
        await getattr(getattr(palan.AsyncClient(HOST), room), call)(*arguments, **option)
    assert str(caught.value).startswith(expected)


def test_without_a_likely_name_there_is_no_hint() -> None:
    with pytest.raises(TypeError, match=r"argument 'qqq'$"):
        palan.Client(HOST).containers.run("busybox", qqq=1)  # type: ignore[call-arg]


def test_an_option_that_needs_another_is_refused_without_it() -> None:
    for name, value in {"ip": "10.0.0.2", "network_aliases": ["x"]}.items():
        option = {name: value}
        with pytest.raises(TypeError, match=f"needs network for the option {name}"):
            check_run_options("run", option)
        check_run_options("run", {**option, "network": "n"})
        check_run_options("run", {**option, "host_config": HostConfig(network_mode="n")})


def test_an_address_goes_to_the_network_of_the_host_config() -> None:
    options: RunOptions = {"ip": "10.0.0.2", "host_config": HostConfig(network_mode="n")}
    made = create_arguments("busybox", None, options)["networking_config"]
    assert made.endpoints_config["n"].ipam_config.ipv4_address == "10.0.0.2"


def test_every_option_is_known_and_has_an_effect() -> None:
    """An option that is declared and not translated would be ignored without a word."""
    values: dict[str, Any] = {
        "volumes": ["/a:/b"], "ports": {80: 1}, "memory": "1m", "shm_size": "1m", "cpus": 1.5,
        "restart": "always", "devices": ["/dev/null"], "host_config": HostConfig(cpu_shares=3),
        "labels": {"a": "b"}, "tmpfs": {"/t": ""}, "sysctls": {"a": "b"}, "log_options": {"a": "b"},
    }  # fmt: skip
    values |= {
        "healthcheck": HealthConfig(retries=3), "mounts": [Mount(type="tmpfs", target="/t")],
        "ulimits": [Ulimit(name="nofile", soft=1, hard=1)],
    }  # fmt: skip
    by_kind = {str: "x", bool: True, int: 3}
    plain = create_arguments("busybox", None, {})
    for name, kind in RunOptions.__annotations__.items():
        options: dict[str, Any] = {name: values.get(name, by_kind.get(kind, ["x"]))}
        if name in ("ip", "network_aliases"):
            options["network"] = "n"
            plain = create_arguments("busybox", None, {"network": "n"})
        check_run_options("launch", options)
        assert create_arguments("busybox", None, options) != plain, name  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [{}, {"path": ".", "archive": b""}, {"path": ".", "remote": "u"}])
def test_a_build_has_exactly_one_context(given: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=r"build\(\) takes one of path, archive and remote"):
        palan.Client(HOST).images.build(**given)


@pytest.mark.parametrize(
    ("call", "arguments", "message"),
    [
        ("containers.create", {"image": ["busybox"]}, "image must be str, not list"),
        ("containers.create", {"env": "A=1"}, "env must be a list of str, not str"),
        ("containers.create", {"cmd": ["sleep", None]}, "cmd[1] must be str, not NoneType"),
        ("containers.create", {"host_config": 5}, "host_config must be HostConfig, not int"),
        (
            "containers.create",
            {"host_config": HostConfig(memory="64m")},  # type: ignore[arg-type]
            "host_config.memory must be int, not str",
        ),
        ("containers.list", {"limit": "5"}, "limit must be int, not str"),
        ("containers.list", {"all": "yes"}, "all must be bool, not str"),
        ("containers.list", {"filters": "status=x"}, "filters must be a dict, not str"),
        (
            "containers.list",
            {"filters": {"status": 5}},
            "filters['status'] must be a str, a bool or several str, not int",
        ),
        ("containers.list", {"timeout": "5"}, "timeout must be a number of seconds or None"),
        ("containers.inspect", {"id": 5}, "id must be a str, not int"),
        ("images.load", {"body": "a path"}, "body must be bytes, a file or an iterable of bytes"),
        ("containers.run", {"image": 5}, "image must be str, not int"),
        ("containers.run", {"image": "b", "command": 5}, "command must be a list of str or str"),
        ("containers.run", {"image": "b", "stdin": "text"}, "stdin must be bytes, not str"),
        ("containers.run", {"image": "b", "timeout": "5"}, "timeout must be a number"),
        ("containers.run", {"image": "b", "cap_add": "ALL"}, "cap_add must be a list of str"),
        (
            "containers.run",
            {"image": "b", "volumes": {"/a": {"bind": "/b"}}},
            "volumes['/a'] must be str, not dict",
        ),
        ("containers.run", {"image": "b", "restart": {"Name": "x"}}, "restart must be str"),
        ("exec.run", {"container": "c", "command": 5}, "command must be a list of str or str"),
        ("exec.run", {"container": "c", "command": [], "env": 5}, "env must be a dict or a list"),
        ("images.build", {"path": ".", "pull": "yes"}, "pull must be bool, not str"),
    ],
)
async def test_a_wrong_type_says_which_argument(
    call: str, arguments: dict[str, Any], message: str
) -> None:
    room, _, name = call.partition(".")
    blocking = palan.Client(HOST, version="1.55")
    waiting = palan.AsyncClient(HOST, version="1.55")
    with pytest.raises(TypeError) as caught:
        made = getattr(getattr(blocking, room), name)(**arguments)
        made.wait()  # a stream
    assert message in str(caught.value)
    with pytest.raises(TypeError) as caught:
        made = getattr(getattr(waiting, room), name)(**arguments)
        await made
    assert message in str(caught.value)


def test_numbers_are_texts_and_dictionaries_are_messages() -> None:
    from palan.client._request import prepare

    made = prepare("containers.logs", {"id": "c", "tail": 10, "since": 1.5, "stdout": 1})
    assert set(made.query) == {("tail", "10"), ("since", "1.5"), ("stdout", "1")}
    made = prepare("containers.create", {"host_config": {"Memory": 5}, "cmd": ("a",)})
    assert made.document == {"HostConfig": {"Memory": 5}, "Cmd": ["a"]}
    options: dict[str, Any] = {"env": {"A": 1}, "ports": {80: ("127.0.0.1", 8080), 81: None}}
    check_run_options("run", options)


def test_public_names_are_shown_and_can_be_imported() -> None:
    assert {"Client", "AsyncClient", "Output", "errors", "__version__"} <= set(dir(palan))
    assert set(palan.client.__all__) <= set(dir(palan.client))
    for name in palan.client.__all__:
        assert getattr(palan.client, name) is not None
    stream = palan.Client(HOST).containers.logs("c")
    assert type(stream) is palan.client.OutputStream
    text = pydoc.plain(pydoc.render_doc(palan))
    for name in ("class Client", "class AsyncClient", "class Output"):
        assert name in text
