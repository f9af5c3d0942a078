import pytest

from palan.api import UNSET
from palan.api.containers import ContainerConfig, HealthConfig
from palan.api.errors import InvalidParameter
from palan.engine.containers.merge import command_line, merge_config


IMAGE = ContainerConfig(
    user="app",
    env=["PATH=/bin", "A=image"],
    cmd=["-c", "true"],
    entrypoint=["sh"],
    exposed_ports={"80/tcp": {}},
    labels={"a": "image", "b": "image"},
    volumes={"/data": {}},
    working_dir="/srv",
    stop_signal="SIGUSR1",
    shell=["/bin/bash"],
    healthcheck=HealthConfig(test=["CMD", "true"], interval=5, retries=3),
)


def test_the_image_says_what_the_container_does_not():
    merged = merge_config(ContainerConfig(), IMAGE)
    assert merged.user == "app"
    assert merged.env == ["PATH=/bin", "A=image"]
    assert (merged.entrypoint, merged.cmd) == (["sh"], ["-c", "true"])
    assert merged.exposed_ports == {"80/tcp": {}}
    assert merged.volumes == {"/data": {}}
    assert merged.labels == {"a": "image", "b": "image"}
    assert merged.working_dir == "/srv"
    assert merged.stop_signal == "SIGUSR1"
    assert merged.healthcheck == IMAGE.healthcheck
    assert merged.shell is UNSET
    assert command_line(merged) == ("sh", ["-c", "true"])


def test_one_by_one():
    own = ContainerConfig(
        user="root",
        env=["B=1", "A"],
        labels={"a": "own"},
        exposed_ports={"53/udp": {}},
        volumes={"/x": {}},
        healthcheck=HealthConfig(interval=9),
    )
    merged = merge_config(own, IMAGE)
    assert merged.env == ["B=1", "A", "PATH=/bin"]
    assert merged.labels == {"a": "own", "b": "image"}
    assert merged.exposed_ports == {"53/udp": {}, "80/tcp": {}}
    assert merged.volumes == {"/x": {}, "/data": {}}
    assert merged.healthcheck == HealthConfig(test=["CMD", "true"], interval=9, retries=3)
    assert own.env == ["B=1", "A"], "what was asked for is not changed"
    none = HealthConfig(test=["NONE"])
    assert merge_config(ContainerConfig(healthcheck=none), IMAGE).healthcheck == HealthConfig(
        test=["NONE"], interval=5, retries=3
    )
    bare = ContainerConfig(cmd=["a"])
    assert merge_config(ContainerConfig(healthcheck=none), bare).healthcheck == none


@pytest.mark.parametrize(
    ("entrypoint", "cmd", "expected"),
    [
        (None, ["echo"], (["sh"], ["echo"])),
        (["own"], None, (["own"], None)),
        (["own"], ["a"], (["own"], ["a"])),
        ([""], ["a"], (None, ["a"])),
        ([], ["a"], ([], ["a"])),
        ([], None, ([], ["-c", "true"])),
    ],
)
def test_commands(entrypoint, cmd, expected):
    merged = merge_config(ContainerConfig(entrypoint=entrypoint, cmd=cmd), IMAGE)
    assert (merged.entrypoint, merged.cmd) == expected


def test_there_must_be_a_command():
    for image in (None, ContainerConfig()):
        with pytest.raises(InvalidParameter, match=r"^no command specified$"):
            merge_config(ContainerConfig(), image)
    with pytest.raises(InvalidParameter, match=r"^no command specified$"):
        merge_config(ContainerConfig(entrypoint=[""]), IMAGE)


def test_empty_values_count_as_absent():
    own = ContainerConfig(
        cmd=["a"], args_escaped=False, network_disabled=False, on_build=[], stop_signal="", shell=[]
    )
    assert merge_config(own, ContainerConfig(entrypoint=[])) == ContainerConfig(cmd=["a"])
