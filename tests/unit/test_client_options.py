"""Options of ``run``, ``launch`` and ``build`` that do not exist, or lack another one."""

from typing import Any

import pytest

import palan
from palan.api.containers import HostConfig
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
    values = {
        "volumes": ["/a:/b"], "ports": {80: 1}, "memory": "1m", "shm_size": "1m", "cpus": 1.5,
        "restart": "always", "devices": ["/dev/null"], "host_config": HostConfig(cpu_shares=3),
        "labels": {"a": "b"}, "tmpfs": {"/t": ""}, "sysctls": {"a": "b"}, "log_options": {"a": "b"},
    }  # fmt: skip
    plain = create_arguments("busybox", None, {})
    for name in RunOptions.__annotations__:
        options = {name: values.get(name, ["x"] if name != "name" else "x")}
        if name in ("ip", "network_aliases"):
            options["network"] = "n"
            plain = create_arguments("busybox", None, {"network": "n"})
        check_run_options("launch", options)
        assert create_arguments("busybox", None, options) != plain, name  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [{}, {"path": ".", "archive": b""}, {"path": ".", "remote": "u"}])
def test_a_build_has_exactly_one_context(given: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=r"build\(\) takes one of path, archive and remote"):
        palan.Client(HOST).images.build(**given)
