"""``engine.system`` with fakes of the other rooms."""

from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from palan.api import UNSET
from palan.api.containers import ContainerSummary
from palan.api.errors import InvalidParameter
from palan.api.images import ImageSummary
from palan.api.system import (
    SystemDiskUsage,
    SystemEvents,
    SystemGetInfo,
    SystemGetVersion,
    SystemPing,
)
from palan.api.volumes import Volume, VolumeUsageData
from palan.engine.config import EngineConfig
from palan.engine.system import System
from palan.host.cgroups import CgroupFeatures
from palan.host.facts import Facts


FACTS = Facts(
    kernel_version="6.1.0",
    operating_system="Debian GNU/Linux 12 (bookworm)",
    os_version="12",
    architecture="aarch64",
    go_architecture="arm64",
    go_variant="",
    ncpu=3,
    memory_total=1 << 30,
    hostname="box",
    seccomp=True,
    apparmor=False,
    selinux=False,
    cgroup_namespaces=True,
)
ALL = CgroupFeatures(**{entry.name: True for entry in fields(CgroupFeatures)})


def _image(size: int, shared: int, containers: int) -> ImageSummary:
    return ImageSummary(
        id="i", parent_id="", created=0, size=size, shared_size=shared, containers=containers
    )


def _container(state: str, written: int) -> ContainerSummary:
    line = ContainerSummary(id="c")
    line.state, line.size_rw = state, written
    return line


def _volume(size: int, references: int) -> Volume:
    return Volume(name="v", usage_data=VolumeUsageData(size=size, ref_count=references))


class Parts:
    """The parts of an engine that the room shows."""

    id = "engine-id"
    paths = SimpleNamespace(data_root=Path("/"))
    events = SimpleNamespace(followers=2)

    def __init__(self, **config: Any) -> None:
        self.config = EngineConfig(**config)
        self.machine = SimpleNamespace(
            facts=FACTS,
            cgroups=SimpleNamespace(version="2"),
            cdi=SimpleNamespace(
                directories=("/etc/cdi",), devices=lambda: (["v.com/gpu=0"], ["bad.json: broken"])
            ),
            init_binary="tini",
        )
        self.runtimes = SimpleNamespace(
            usable={"crun": SimpleNamespace(path=Path("/usr/bin/crun"))},
            default="crun",
            default_version="1.8.1",
            warnings=[],
            cgroup_features=ALL,
            programs=lambda: [("crun", "/usr/bin/crun", "1.8.1")],
        )
        self.statuses = ["running", "paused", "exited", "created"]
        self.summaries: list[ContainerSummary] = []
        self.volume_list: list[Volume] = []
        self.image_list: tuple[list[ImageSummary], int] = ([], 0)
        self.measured: list[str] = []
        self.images = SimpleNamespace(count=lambda: 5, disk_usage=self._images)
        self.containers = SimpleNamespace(
            statuses=lambda: self.statuses, disk_usage=self._containers
        )
        self.volumes = SimpleNamespace(usage=self._volumes)
        self.networks = SimpleNamespace(
            driver_names=["bridge", "host"],
            firewall=SimpleNamespace(rules=True, backend="nftables", warnings=[]),
        )

    async def _images(self) -> tuple[list[ImageSummary], int]:
        self.measured.append("image")
        return self.image_list

    async def _containers(self) -> list[ContainerSummary]:
        self.measured.append("container")
        return self.summaries

    async def _volumes(self) -> list[Volume]:
        self.measured.append("volume")
        return self.volume_list


def _system(parts: Parts) -> System:
    surroundings: Any = parts
    return System(surroundings)


async def test_ping():
    assert await _system(Parts()).ping(SystemPing()) == "OK"


async def test_info_counts_containers_by_status():
    info = await _system(Parts()).info(SystemGetInfo())
    assert info.containers == 4
    assert info.containers_running == 1
    assert info.containers_paused == 1
    assert info.containers_stopped == 2
    assert info.images == 5


async def test_info_shows_machine_and_runtimes():
    info = await _system(Parts()).info(SystemGetInfo())
    assert (info.name, info.ncpu, info.mem_total) == ("box", 3, 1 << 30)
    assert (info.architecture, info.os_version) == ("aarch64", "12")
    assert info.default_runtime == "crun"
    assert list(info.runtimes) == ["crun"]
    assert info.init_binary == "tini"
    assert info.n_events_listener == 2
    assert "none" not in (info.plugins.log or ())
    assert "json-file" in (info.plugins.log or ())
    assert [device.id for device in info.discovered_devices or ()] == ["v.com/gpu=0"]


async def test_info_warns():
    parts = Parts()
    parts.runtimes.warnings = ["WARNING: install conmon"]
    parts.networks.firewall.rules = False
    parts.networks.firewall.warnings = ["bridged packets are not filtered"]
    info = await _system(parts).info(SystemGetInfo())
    assert info.warnings == [
        "WARNING: install conmon",
        "WARNING: No firewall rules: ports are published by a userland proxy",
        "WARNING: bridged packets are not filtered",
        "CDI: Error associated with spec file bad.json: broken",
    ]


async def test_info_does_not_warn_about_rules_without_a_bridge():
    parts = Parts(bridge="none")
    parts.networks.firewall.rules = False
    info = await _system(parts).info(SystemGetInfo())
    assert not any("firewall" in warning for warning in info.warnings or ())


async def test_info_shows_registries_and_hides_credentials_of_proxies():
    parts = Parts(
        insecure_registries=("10.0.0.0/8", "local:5000"),
        registry_mirrors=("https://mirror.test/", "http://other.test"),
        http_proxy="http://user:secret@proxy:3128",
    )
    info = await _system(parts).info(SystemGetInfo())
    assert info.registry_config is not None
    assert "10.0.0.0/8" in info.registry_config.insecure_registry_cidrs
    assert not info.registry_config.index_configs["local:5000"].secure
    assert info.registry_config.mirrors == ["https://mirror.test/", "http://other.test/"]
    assert "secret" not in info.http_proxy


async def test_version_names_the_runtimes():
    version = await _system(Parts()).version(SystemGetVersion())
    assert version.arch == "arm64"
    assert [component.name for component in version.components or ()] == ["Engine", "crun"]


async def test_disk_usage_measures_what_is_asked_for_only():
    parts = Parts()
    await _system(parts).disk_usage(SystemDiskUsage(type=["volume"]))
    assert parts.measured == ["volume"]
    parts.measured.clear()
    await _system(parts).disk_usage(SystemDiskUsage())
    assert parts.measured == ["image", "container", "volume"]
    with pytest.raises(InvalidParameter, match="unknown object type: network"):
        await _system(parts).disk_usage(SystemDiskUsage(type=["network"]))


async def test_disk_usage_of_images_counts_shared_layers_as_not_reclaimable():
    parts = Parts()
    parts.image_list = ([_image(100, 60, 1), _image(90, 60, 0)], 130)
    usage = (await _system(parts).disk_usage(SystemDiskUsage(type=["image"]))).image_usage
    assert usage is not UNSET
    assert (usage.total_size, usage.active_count, usage.reclaimable) == (130, 1, 30)
    parts.image_list = ([_image(100, 60, 0), _image(90, 60, 0)], 130)
    usage = (await _system(parts).disk_usage(SystemDiskUsage(type=["image"]))).image_usage
    assert usage is not UNSET
    assert usage.reclaimable == 130


async def test_disk_usage_of_containers_and_volumes():
    parts = Parts()
    parts.summaries = [_container("running", 10), _container("exited", 5)]
    parts.volume_list = [_volume(7, 1), _volume(3, 0)]
    answer = await _system(parts).disk_usage(SystemDiskUsage())
    containers, volumes = answer.container_usage, answer.volume_usage
    assert containers is not UNSET
    assert (containers.total_size, containers.active_count, containers.reclaimable) == (15, 1, 5)
    assert volumes is not UNSET
    assert (volumes.total_size, volumes.active_count, volumes.reclaimable) == (10, 1, 3)


async def test_events_refuse_times_in_the_wrong_order():
    with pytest.raises(InvalidParameter, match="cannot be after"):
        await _system(Parts()).events(SystemEvents(since="20", until="10"))
    with pytest.raises(InvalidParameter, match="invalid value for 'since'"):
        await _system(Parts()).events(SystemEvents(since="yesterday"))
