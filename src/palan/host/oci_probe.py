"""Test whether an OCI runtime works on this machine, by running a container with it.

An installed runtime may refuse the machine (crun, if cgroup v1 and v2 are both mounted) or lack
something. The container runs the host's own ``true`` on read-only bind mounts of the host's
programs and libraries, so no image is needed.

A test takes 20 to 50 ms, so the result is stored in a file, and is valid until the program
changes or the machine is rebooted.
"""

import contextlib
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from palan.host import cgroups, processes
from palan.host.spawn import Completed, Spawner


__all__ = ["Probe", "Prober"]

_TIMEOUT: Final = 10.0
_PROGRAM_ROOTS: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "nix", "gnu")
_NAMESPACES: Final = ("pid", "mount", "ipc", "uts", "network")


class Probe(msgspec.Struct, frozen=True):
    """The result of testing a runtime.

    Attributes:
        works: it ran a container.
        spawner: the name of the spawner with which it works.
        version: its output for ``--version``, all lines.
        error: why it does not work, in its own words.
    """

    works: bool
    spawner: str = ""
    version: str = ""
    error: str = ""


class _Entry(msgspec.Struct, frozen=True):
    """A stored result and the conditions for its validity."""

    key: list[str]
    probe: Probe


class Prober:
    """Tests runtimes and stores the results.

    Args:
        cache: the file with earlier results; None to test each time.
        scratch: a directory for bundles.
        cgroup_parent: the cgroup below which containers' cgroups are created, such as ``/palan``.
    """

    def __init__(self, cache: Path | None, scratch: Path, *, cgroup_parent: str = "/palan") -> None:
        self._cache = cache
        self._scratch = scratch
        self._parent = cgroup_parent
        self._entries: dict[str, _Entry] = {}
        if cache is not None:
            with contextlib.suppress(OSError, msgspec.DecodeError):
                self._entries = msgspec.json.decode(cache.read_bytes(), type=dict[str, _Entry])

    async def probe(self, program: Path, spawners: Mapping[str, Spawner]) -> Probe:
        """Test a runtime with one spawner after the other, until it works with one.

        Args:
            program: the runtime.
            spawners: by name, the preferred one first.

        Raises:
            OSError: no such program.
        """
        key = _key(program, spawners)
        earlier = self._entries.get(str(program))
        if earlier is not None and earlier.key == key:
            return earlier.probe
        outcome = await self._try(program, spawners)
        if outcome.works:  # failures are not stored: they may be temporary
            self._entries[str(program)] = _Entry(key, outcome)
            self._save()
        return outcome

    async def _try(self, program: Path, spawners: Mapping[str, Spawner]) -> Probe:
        version, errors = "", []
        for name, spawner in spawners.items():
            try:
                answer = await spawner.run([program, "--version"], timeout=_TIMEOUT)
                version = answer.stdout.decode(errors="replace").strip()
                completed = await self._run(program, spawner)
            except (OSError, TimeoutError) as error:
                errors.append(str(error))
                continue
            if completed.returncode == 0:
                return Probe(works=True, spawner=name, version=version)
            words = completed.stderr.decode(errors="replace").strip()
            errors.append(words or f"exit status {completed.returncode}")
        return Probe(works=False, version=version, error="; ".join(dict.fromkeys(errors)))

    async def _run(self, program: Path, spawner: Spawner) -> Completed:
        name = f"probe-{secrets.token_hex(6)}"
        bundle = self._scratch / name
        cgroup = f"{self._parent.rstrip('/')}/{name}"
        root = f"--root={bundle / 'state'}"
        try:
            _make_bundle(bundle, cgroup)
            try:
                return await spawner.run(
                    [program, root, "run", f"--bundle={bundle}", name], timeout=_TIMEOUT
                )
            finally:
                if (bundle / "state" / name).exists():
                    await spawner.run([program, root, "delete", "--force", name], timeout=_TIMEOUT)
        finally:
            cgroups.remove(cgroups.detect().directories(cgroup))
            shutil.rmtree(bundle, ignore_errors=True)

    def _save(self) -> None:
        if self._cache is None:
            return
        temporary = self._cache.with_name(f"{self._cache.name}.{os.getpid()}")
        temporary.write_bytes(msgspec.json.encode(self._entries))
        temporary.replace(self._cache)


def _key(program: Path, spawners: Mapping[str, Spawner]) -> list[str]:
    """Return the conditions under which a stored result is valid."""
    found = program.stat()
    return [str(found.st_mtime_ns), str(found.st_size), processes.boot_id(), *spawners]


def _make_bundle(bundle: Path, cgroup: str) -> None:
    rootfs = bundle / "rootfs"
    rootfs.mkdir(mode=0o755, parents=True)
    mounts: list[dict[str, Any]] = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
    ]
    for name in ("proc", "dev"):
        (rootfs / name).mkdir()
    for name in _PROGRAM_ROOTS:
        original = Path("/") / name
        if original.is_symlink():
            (rootfs / name).symlink_to(original.readlink())
        elif original.is_dir():
            (rootfs / name).mkdir()
            mounts.append(
                {
                    "destination": str(original),
                    "type": "bind",
                    "source": str(original),
                    "options": ["bind", "ro", "nosuid", "nodev"],
                }
            )
    specification = {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": [shutil.which("true") or "/bin/true"],
            "env": [f"PATH={os.environ.get('PATH', os.defpath)}"],
            "cwd": "/",
            "noNewPrivileges": True,
        },
        "root": {"path": str(rootfs), "readonly": True},
        "mounts": mounts,
        "linux": {
            "cgroupsPath": cgroup,
            "namespaces": [{"type": kind} for kind in _NAMESPACES],
            "resources": {"pids": {"limit": 64}},
        },
    }
    (bundle / "config.json").write_bytes(msgspec.json.encode(specification))
