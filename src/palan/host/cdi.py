"""Devices of the Container Device Interface (CDI), described in files by their vendors.

A file (https://github.com/cncf-tags/container-device-interface, specification 1.0) lists
devices of one kind, such as ``vendor.com/gpu``, and the changes that each needs in a container:
device nodes, mounts, environment variables, hooks. Files are JSON or, if PyYAML can be
imported, YAML. Directories are listed at each call; a file is parsed again when it has changed.
"""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import field


__all__ = [
    "CdiDeviceNode",
    "CdiEdits",
    "CdiHook",
    "CdiMount",
    "CdiRegistry",
    "Unresolvable",
]

_SUFFIXES: Final = (".json", ".yaml", ".yml")
_KIND: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9_-]*")
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.:-]*[A-Za-z0-9])?")
_VERSION: Final = re.compile(r"v?[01]\.\d+\.\d+")
_MAX_SIZE: Final = 4 << 20


class _Part(msgspec.Struct, rename="camel", kw_only=True):
    """Base class of the objects in a CDI file."""


class CdiDeviceNode(_Part):
    """A device node in the container; missing values are taken from the host's node."""

    path: str
    host_path: str = ""
    type: str = ""
    major: int | None = None
    minor: int | None = None
    file_mode: int | None = None
    permissions: str = ""
    uid: int | None = None
    gid: int | None = None


class CdiMount(_Part):
    """A bind mount of a path of the host into the container."""

    host_path: str
    container_path: str
    options: list[str] = []
    type: str = ""


class CdiHook(_Part):
    """A program of the host that the runtime executes while it creates the container."""

    hook_name: str
    path: str
    args: list[str] = []
    env: list[str] = []
    timeout: int | None = None


class CdiEdits(_Part):
    """Changes to the specification of a container."""

    env: list[str] = []
    device_nodes: list[CdiDeviceNode] = []
    mounts: list[CdiMount] = []
    hooks: list[CdiHook] = []
    intel_rdt: dict[str, Any] | None = None
    additional_gids: list[int] = field(name="additionalGids", default_factory=list)


class _Device(_Part):
    name: str
    container_edits: CdiEdits = field(default_factory=CdiEdits)


class _File(_Part):
    cdi_version: str
    kind: str
    devices: list[_Device] = []
    container_edits: CdiEdits = field(default_factory=CdiEdits)


class Unresolvable(Exception):
    """Some of the requested devices are not described.

    Attributes:
        names: the names of these devices.
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"unresolvable CDI devices {', '.join(names)}")
        self.names = names


class CdiRegistry:
    """The devices described in a set of directories. All methods block.

    Args:
        directories: later ones have priority; they need not exist.
    """

    def __init__(self, directories: Iterable[str]) -> None:
        self.directories = tuple(directory for directory in directories if directory)
        self._read: dict[str, tuple[tuple[int, int], _File | str]] = {}

    def devices(self) -> tuple[list[str], list[str]]:
        """Return the qualified names of all devices, and the errors found in files."""
        found, problems = self._devices()
        return sorted(found), problems

    def kinds(self) -> set[str]:
        """Return the kinds of all devices."""
        return {name.partition("=")[0] for name in self._devices()[0]}

    def resolve(self, names: Iterable[str]) -> list[CdiEdits]:
        """Return the changes for some devices: those of each file once, then those of each device.

        Raises:
            Unresolvable: devices are unknown, or described twice in one directory.
        """
        found, _ = self._devices()
        wanted = list(dict.fromkeys(names))
        if missing := [name for name in wanted if name not in found]:
            raise Unresolvable(missing)
        edits: list[CdiEdits] = []
        of_files: set[int] = set()
        for name in wanted:
            file, device = found[name]
            if id(file) not in of_files:
                of_files.add(id(file))
                edits.append(file.container_edits)
            edits.append(device.container_edits)
        return edits

    def _devices(self) -> tuple[dict[str, tuple[_File, _Device]], list[str]]:
        found: dict[str, tuple[_File, _Device]] = {}
        problems: list[str] = []
        for directory in self.directories:
            here: dict[str, tuple[_File, _Device]] = {}
            twice: set[str] = set()
            for path in _files(directory):
                content = self._content(path)
                if isinstance(content, str):
                    problems.append(f"{path}: {content}")
                    continue
                for device in content.devices:
                    name = f"{content.kind}={device.name}"
                    if name in here:
                        twice.add(name)
                        problems.append(f"{path}: conflicting device {name!r}")
                    here[name] = content, device
            found = {**found, **here}
            for name in twice:
                del found[name]
        return found, problems

    def _content(self, path: str) -> _File | str:
        """Return the parsed file, or an error message."""
        try:
            info = os.stat(path)  # noqa: PTH116 - a text, as all of these
        except OSError as error:
            return str(error)
        state = info.st_mtime_ns, info.st_size
        known = self._read.get(path)
        if known is None or known[0] != state:
            known = self._read[path] = state, _load(Path(path), info.st_size)
        return known[1]


def _files(directory: str) -> list[str]:
    try:
        with os.scandir(directory) as entries:
            return sorted(e.path for e in entries if e.name.endswith(_SUFFIXES) and e.is_file())
    except OSError:
        return []


def _load(path: Path, size: int) -> _File | str:
    if size > _MAX_SIZE:
        return f"larger than {_MAX_SIZE} bytes"
    try:
        data = path.read_bytes()
        if path.suffix == ".json":
            file = msgspec.json.decode(data, type=_File)
        else:
            file = msgspec.yaml.decode(data, type=_File)
    except ImportError:
        return "YAML cannot be read without the package pyyaml (palan[cdi])"
    except (OSError, ValueError, RecursionError) as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - YAML parsers have exceptions of their own
        return f"invalid YAML: {error}"
    return _problem(file) or file


def _problem(file: _File) -> str:
    if not _VERSION.fullmatch(file.cdi_version):
        return f"unknown version {file.cdi_version!r}"
    if not _KIND.fullmatch(file.kind):
        return f"invalid kind {file.kind!r}"
    for device in file.devices:
        if not _NAME.fullmatch(device.name):
            return f"invalid device name {device.name!r}"
    for edits in (file.container_edits, *(device.container_edits for device in file.devices)):
        for path in (
            *(node.path for node in edits.device_nodes),
            *(mount.container_path for mount in edits.mounts),
            *(hook.path for hook in edits.hooks),
        ):
            if not path.startswith("/"):
                return f"not an absolute path: {path!r}"
        for entry in edits.env:
            if not entry.partition("=")[0]:
                return f"invalid variable {entry!r}"
    return ""
