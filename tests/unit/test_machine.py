"""The room ``machine`` with fakes of paths, programs and the machine."""

import asyncio
import os
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from palan.api.errors import InvalidParameter, Unavailable
from palan.engine.config import EngineConfig, Runtime
from palan.engine.machine import Runtimes, StartFailure
from palan.engine.machine.cgroup_support import CgroupSupport
from palan.engine.machine.choice import choose_default, explanation, find_candidates
from palan.engine.machine.failures import explained
from palan.engine.machine.seccomp import read_default_profile
from palan.host.cgroups import CgroupFeatures, Cgroups, Layout
from palan.host.oci_runtime import RuntimeFailure


ALL = CgroupFeatures(**{entry.name: True for entry in fields(CgroupFeatures)})


def _finder(*installed: str) -> Any:
    return lambda names: {name: Path("/bin") / name for name in names if name in installed}


# ---- choosing a runtime -------------------------------------------------------------


def test_installed_and_configured_runtimes_are_candidates():
    configured = {"mine": Runtime(path="/opt/mine", runtime_args=("--debug",)), "kata": Runtime()}
    found = find_candidates(configured, _finder("runc", "conmon", "/opt/mine"))
    assert found.conmon == Path("/bin/conmon")
    assert found.runtimes == {
        "runc": (Path("/bin/runc"), ()),
        "mine": (Path("/opt/mine"), ("--debug",)),
    }
    assert found.problems == {"kata": "kata not found"}


def test_a_configured_runtime_replaces_the_installed_one_of_its_name():
    configured = {"runc": Runtime(path="/opt/runc")}
    found = find_candidates(configured, _finder("runc", "conmon", "/opt/runc"))
    assert found.runtimes["runc"] == (Path("/opt/runc"), ())


def test_a_missing_conmon_is_a_problem():
    assert find_candidates({}, _finder("crun")).problems == {"conmon": "not found"}


def test_crun_is_preferred():
    assert choose_default("", {"runc": 1, "crun": 1}) == "crun"
    assert choose_default("", {"runc": 1}) == "runc"
    assert choose_default("", {}) == "runc"
    assert choose_default("mine", {"crun": 1}) == "mine"


def test_the_explanation_names_every_problem():
    text = explanation({"crun": "permission denied", "conmon": "not found"})
    assert "install conmon and one of crun or runc" in text
    assert text.endswith("(crun: permission denied; conmon: not found)")
    assert explanation({}).endswith("crun runc)")


# ---- the runtimes -------------------------------------------------------------------


def _runtimes(tmp_path: Path, **config: Any) -> Runtimes:
    paths = SimpleNamespace(
        data_root=tmp_path,
        exec_root=tmp_path,
        runtime=tmp_path / "runtime",
        seccomp=tmp_path / "seccomp",
    )
    cgroups = Cgroups(Layout.V2, tmp_path, {}, ())
    machine: Any = SimpleNamespace(
        cgroups=cgroups,
        host=SimpleNamespace(kernel=(6, 1)),
        cgroup_support=CgroupSupport(cgroups, "/palan"),
    )
    background: Any = SimpleNamespace(spawn=asyncio.ensure_future)
    return Runtimes(machine, EngineConfig(**config), paths, background)


async def test_an_engine_without_programs_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("palan.engine.machine.runtimes.find_programs", _finder())
    runtimes = _runtimes(tmp_path)
    await runtimes.probe()
    assert runtimes.usable == {}
    assert runtimes.default == "runc"
    assert runtimes.default_version == ""
    assert len(runtimes.warnings) == 1
    assert "conmon: not found" in runtimes.warnings[0]
    with pytest.raises(Unavailable, match="install conmon"):
        runtimes.get("runc")
    assert runtimes.find("runc") is None
    runtimes.close()


def _script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


async def test_a_runtime_that_runs_nothing_is_not_usable(tmp_path, monkeypatch):
    programs = {
        "runc": _script(tmp_path / "runc", "echo runc version 1.1.5; exit 0"),
        "crun": _script(tmp_path / "crun", "echo no cgroups here >&2; exit 1"),
        "conmon": _script(tmp_path / "conmon", "exit 0"),
    }
    monkeypatch.setattr(
        "palan.engine.machine.runtimes.find_programs",
        lambda names: {name: programs[name] for name in names if name in programs},
    )
    runtimes = _runtimes(tmp_path)
    await runtimes.probe()
    assert list(runtimes.usable) == ["runc"]
    assert runtimes.problems == {"crun": "no cgroups here"}
    assert runtimes.default == "runc"
    assert runtimes.default_version == "1.1.5"
    assert runtimes.warnings == []
    assert runtimes.get("runc").path == programs["runc"]
    assert runtimes.programs() == [("runc", str(programs["runc"]), "1.1.5")]
    assert runtimes.names == {"runc", "io.containerd.runc.v2"}
    assert runtimes.mounts_recursively_read_only("runc")
    runtimes.close()


def test_shims_mean_runtimes():
    assert Runtimes.resolve("io.containerd.runc.v2") == "runc"
    assert Runtimes.resolve("mine") == "mine"


def test_filters_are_compiled_only_for_runtimes_that_take_them(tmp_path):
    runtimes = _runtimes(tmp_path)
    spec: dict[str, Any] = {"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}}}
    runtimes.compile_filter("runc", spec)
    assert "annotations" not in spec
    runtimes.close()


# ---- the machine --------------------------------------------------------------------


def test_cgroups_are_asked_again_once_the_engine_has_one(tmp_path, monkeypatch):
    answers = [replace(ALL, swap_limit=False), ALL]
    cgroups = Cgroups(Layout.V1, tmp_path, {}, (tmp_path,))
    monkeypatch.setattr(Cgroups, "features", lambda _self: answers.pop(0))
    support = CgroupSupport(cgroups, "/palan")
    assert not support.features("runc").swap_limit
    assert not support.features("runc").swap_limit
    (tmp_path / "palan").mkdir()
    assert support.features("runc").swap_limit
    assert answers == []


def test_crun_needs_the_weights_of_cfq(tmp_path, monkeypatch):
    monkeypatch.setattr(Cgroups, "features", lambda _self: ALL)
    cgroups = Cgroups(Layout.V1, tmp_path, {"blkio": tmp_path}, (tmp_path,))
    assert not CgroupSupport(cgroups, "/palan").features("crun").blkio_weight
    assert CgroupSupport(cgroups, "/palan").features("runc").blkio_weight
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "blkio.weight").touch()
    assert CgroupSupport(cgroups, "/palan").features("crun").blkio_weight


def test_the_default_profile_is_a_word_or_a_file(tmp_path):
    assert read_default_profile("") == "builtin"
    assert read_default_profile("unconfined") == "unconfined"
    profile = tmp_path / "profile.json"
    profile.write_text("{}")
    assert read_default_profile(str(profile)) == "{}"
    with pytest.raises(InvalidParameter, match="opening seccomp profile"):
        read_default_profile(os.fspath(tmp_path / "absent"))


def test_failures_are_explained_in_dockerds_words():
    with pytest.raises(StartFailure) as caught, explained("/nope"):
        raise RuntimeFailure('exec: "/nope": stat /nope: no such file or directory')
    assert caught.value.exit_code == 127
    assert "/nope" in caught.value.message
