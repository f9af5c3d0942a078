"""Devices by the Container Device Interface: files, names, and changes of the runtime spec."""

import json
import os
import sys

import pytest

from palan.api.containers import DeviceRequest
from palan.api.errors import InvalidParameter
from palan.engine.containers.device_requests import check_device_requests, inject_devices
from palan.host.cdi import CdiRegistry


FILE = {
    "cdiVersion": "0.8.0",
    "kind": "vendor.com/device",
    "containerEdits": {"env": ["ALL=1"], "additionalGids": [7]},
    "devices": [
        {
            "name": "null",
            "containerEdits": {
                "env": ["ONE=1", "PATH=/vendor"],
                "deviceNodes": [{"path": "/dev/vendor", "hostPath": "/dev/null"}],
                "mounts": [
                    {"hostPath": "/etc", "containerPath": "/a/b/c", "options": ["ro"]},
                    {"hostPath": "/etc", "containerPath": "/a"},
                ],
                "hooks": [{"hookName": "poststop", "path": "/bin/true", "args": ["true"]}],
            },
        },
        {
            "name": "made-up",
            "containerEdits": {
                "deviceNodes": [
                    {
                        "path": "/dev/made-up",
                        "type": "c",
                        "major": 200,
                        "minor": 1,
                        "permissions": "r",
                        "fileMode": 384,
                        "uid": 5,
                        "gid": 6,
                    }
                ],
                "intelRdt": {"closID": "x"},
            },
        },
    ],
}


def write(directory, name="a.json", **changes):
    directory.mkdir(exist_ok=True)
    content = FILE | changes
    (directory / name).write_text(json.dumps(content))
    return CdiRegistry([str(directory)])


def spec():
    return {
        "process": {"user": {"uid": 3, "gid": 4}, "env": ["PATH=/bin", "X=1"]},
        "mounts": [{"destination": "/proc"}, {"destination": "/a"}],
        "linux": {"resources": {"devices": []}, "devices": []},
    }


def ask(registry, *names, **fields):
    request = DeviceRequest(**({"driver": "cdi", "device_ids": list(names)} | fields))
    return check_device_requests([request], registry)


def test_the_changes_for_a_device(tmp_path):
    found = spec()
    inject_devices(found, ask(write(tmp_path), "vendor.com/device=null"))
    assert found["process"]["env"] == ["X=1", "ALL=1", "ONE=1", "PATH=/vendor"] or found["process"][
        "env"
    ] == ["X=1", "ONE=1", "PATH=/vendor", "ALL=1"]
    assert found["process"]["user"]["additionalGids"] == [7]
    (node,) = found["linux"]["devices"]
    assert (node["path"], node["type"], node["major"], node["minor"]) == ("/dev/vendor", "c", 1, 3)
    assert (node["uid"], node["gid"]) == (3, 4)
    assert found["linux"]["resources"]["devices"] == [
        {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"}
    ]
    assert [mount["destination"] for mount in found["mounts"]] == ["/proc", "/a", "/a/b/c"]
    assert found["mounts"][2]["options"] == ["rbind", "ro"]
    assert found["hooks"] == {"poststop": [{"path": "/bin/true", "args": ["true"]}]}


def test_a_fully_described_node_need_not_exist_on_the_host(tmp_path):
    found = spec()
    inject_devices(found, ask(write(tmp_path), "vendor.com/device=made-up"))
    assert found["linux"]["devices"] == [
        {
            "path": "/dev/made-up", "type": "c", "major": 200, "minor": 1, "fileMode": 0o600,
            "uid": 5, "gid": 6,
        }
    ]  # fmt: skip
    assert found["linux"]["resources"]["devices"][0]["access"] == "r"
    assert found["linux"]["intelRdt"] == {"closID": "x"}


def test_the_changes_of_a_file_are_applied_once(tmp_path):
    names = ("vendor.com/device=null", "vendor.com/device=made-up", "vendor.com/device=null")
    assert len(ask(write(tmp_path), *names)) == 3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "CDI device injection failed: unresolvable CDI devices vendor.com/device=other, x"),
        ({"count": 1}, "unexpected count in CDI device request"),
        ({"options": {"a": "b"}}, "unexpected options in CDI device request"),
        (
            {"driver": "bogus", "capabilities": [["gpu"], ["a", "b"]]},
            'could not select device driver "bogus" with capabilities: [[gpu] [a b]]',
        ),
        (
            {"driver": "", "count": -1, "device_ids": None, "capabilities": [["gpu"]]},
            'could not select device driver "" with capabilities: [[gpu]]',
        ),
    ],
)
def test_invalid_requests_are_refused(tmp_path, fields, message):
    with pytest.raises(InvalidParameter) as caught:
        ask(write(tmp_path), "vendor.com/device=other", "x", **fields)
    assert caught.value.message == message


def test_without_directories_the_driver_is_absent():
    with pytest.raises(InvalidParameter, match="could not select device driver"):
        ask(CdiRegistry([""]), "vendor.com/device=null")


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"count": -1}, ["all"]),
        ({"count": 2}, ["0", "1"]),
        ({"device_ids": ["1"]}, ["1"]),
        ({"device_ids": ["nvidia.com/gpu=0"]}, ["0"]),
        ({"driver": "nvidia", "count": 1, "capabilities": None}, ["0"]),
        ({"count": 1, "capabilities": [["tpu"], ["gpu", "utility"]]}, ["0"]),
    ],
)
def test_graphics_cards(tmp_path, fields, names):
    devices = [{"name": n, "containerEdits": {"env": [f"N={n}"]}} for n in ("all", "0", "1")]
    registry = write(tmp_path, kind="nvidia.com/gpu", devices=devices)
    given = {"driver": "", "capabilities": [["gpu"]], "device_ids": None} | fields
    _, *edits = ask(registry, **given)
    assert [edit.env for edit in edits] == [[f"N={name}"] for name in names]
    with pytest.raises(InvalidParameter, match="both Count and DeviceIDs"):
        ask(registry, **given | {"count": 1, "device_ids": ["0"]})


def test_later_directories_override_and_duplicates_conflict(tmp_path):
    write(tmp_path / "a")
    write(tmp_path / "b", containerEdits={"env": ["B=1"]})
    registry = CdiRegistry([str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path / "absent")])
    assert registry.resolve(["vendor.com/device=null"])[0].env == ["B=1"]
    write(tmp_path / "b", "again.json")
    names, problems = registry.devices()
    assert names == []
    assert all("conflicting device" in problem for problem in problems)


def test_changed_files_are_read_again(tmp_path):
    registry = write(tmp_path)
    assert registry.devices()[0] == ["vendor.com/device=made-up", "vendor.com/device=null"]
    write(tmp_path, devices=[])
    os.utime(tmp_path / "a.json", ns=(1, 1))
    assert registry.devices() == ([], [])


def test_yaml(tmp_path, monkeypatch):
    (tmp_path / "a.yaml").write_text(
        "cdiVersion: 0.6.0\nkind: vendor.com/device\ndevices:\n- name: y\n  containerEdits:\n"
        "    env: [Y=1]\n"
    )
    assert CdiRegistry([str(tmp_path)]).devices() == (["vendor.com/device=y"], [])
    monkeypatch.setitem(sys.modules, "yaml", None)
    names, (problem,) = CdiRegistry([str(tmp_path)]).devices()
    assert (names, "pyyaml" in problem) == ([], True)


@pytest.mark.parametrize(
    "changes",
    [
        {"cdiVersion": "9"},
        {"kind": "vendor"},
        {"kind": 5},
        {"devices": [{"name": "-"}]},
        {"containerEdits": {"env": ["=x"]}},
        {"containerEdits": {"mounts": [{"hostPath": "/a", "containerPath": "b"}]}},
    ],
)
def test_invalid_files_are_reported(tmp_path, changes):
    names, (problem,) = write(tmp_path, **changes).devices()
    assert names == []
    assert problem.startswith(f"{tmp_path}/a.json: ")


def test_invalid_json_and_invalid_hooks(tmp_path):
    (tmp_path / "b.json").write_text("{")
    (tmp_path / "c.yml").write_text("a: [")
    hook = [{"hookName": "bogus", "path": "/bin/true"}]
    registry = write(tmp_path, containerEdits={"hooks": hook})
    assert len(registry.devices()[1]) == 2
    with pytest.raises(InvalidParameter, match="unknown hook 'bogus'"):
        inject_devices(spec(), ask(registry, "vendor.com/device=null"))
