"""What ``images.build`` takes, and what the API wants instead."""

import base64
import os
import posixpath
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypedDict

import msgspec

from palan.api.containers import Ulimit
from palan.api.system import AuthConfig
from palan.client._archive_pack import context
from palan.client._contract import slim
from palan.client._run_options import memory
from palan.client.errors import ConfigError


__all__ = ["BuildOptions", "build_arguments", "build_context"]


class BuildOptions(TypedDict, total=False):
    """How to build; what is not given is the engine's default."""

    target: str
    """The stage to stop after."""

    labels: Mapping[str, str]
    platform: str
    pull: bool
    """Ask the registry even for images that are here."""

    no_cache: bool
    cache_from: Sequence[str]
    network_mode: str
    extra_hosts: Sequence[str]
    """``name:address``."""

    quiet: bool
    rm: bool
    """Remove the containers of steps; on by default."""

    force_rm: bool
    squash: bool
    remote: str
    """Where the context is instead: a git repository, an archive, a Dockerfile."""

    memory: int | str
    memory_swap: int | str
    shm_size: int | str
    cpu_shares: int
    cpu_quota: int
    cpu_period: int
    cpuset_cpus: str
    cgroup_parent: str
    security_opt: Sequence[str]
    ulimits: Sequence[Ulimit]


_JSON: Final = ("labels", "cache_from", "security_opt", "ulimits")
_SIZES: Final = {"memory": "memory", "memory_swap": "mem_swap", "shm_size": "shm_size"}
_NAMES: Final = {"quiet": "q"}


def build_context(directory: str, dockerfile: str) -> tuple[str, Iterator[bytes]]:
    """The context of a build.

    Args:
        directory: where.
        dockerfile: its path, below the directory or not.

    Returns:
        The Dockerfile's name in the context, and the context as an archive.

    Raises:
        ConfigError: there is no Dockerfile, or no directory.
    """
    root = Path(directory)
    if not root.is_dir():
        raise ConfigError(f"{directory} is no directory")
    path = root / dockerfile
    inside = posixpath.normpath(dockerfile)
    if os.path.isabs(dockerfile):  # noqa: PTH117 - of text
        try:
            inside = path.resolve().relative_to(root.resolve()).as_posix()
        except ValueError:
            inside = ".."
    if not path.is_file():
        raise ConfigError(f"there is no Dockerfile at {path}")
    if inside.startswith(".."):
        name = f".dockerfile.{secrets.token_hex(10)}"
        return name, context(root, name, extra=[(name, path.read_bytes())])
    return inside, context(root, inside)


def build_arguments(
    tags: str | Sequence[str],
    dockerfile: str,
    build_args: Mapping[str, str | None] | None,
    options: BuildOptions,
    credentials: Mapping[str, AuthConfig],
) -> dict[str, Any]:
    """The arguments of ``build.build``, but for the context."""
    made: dict[str, Any] = {
        "t": [tags] if isinstance(tags, str) else list(tags),
        "dockerfile": "" if dockerfile == "Dockerfile" else dockerfile,
    }
    if build_args:
        made["build_args"] = _json(dict(build_args))
    if credentials:
        document = _json({key: slim(value) for key, value in credentials.items()})
        made["registry_config"] = base64.urlsafe_b64encode(document.encode()).decode()
    for name, value in options.items():
        if name in _JSON:
            made[name] = _json(slim(value))
        elif name in _SIZES:
            made[_SIZES[name]] = memory(value)  # type: ignore[arg-type]
        elif name == "extra_hosts":
            made[name] = list(value)  # type: ignore[call-overload]
        else:
            made[_NAMES.get(name, name)] = value
    return made


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
