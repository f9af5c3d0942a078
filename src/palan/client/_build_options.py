"""The options of ``images.build``, and their translation to the API's parameters."""

import os
import posixpath
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypedDict

import msgspec

from palan.api.auth import AuthConfig
from palan.api.containers import Ulimit
from palan.client._archive_pack import context
from palan.client._argument_types import check_type
from palan.client._contract import without_defaults
from palan.client._options import check_options
from palan.client._run_options import memory
from palan.client.errors import ConfigError


__all__ = ["BuildOptions", "build_arguments", "build_context", "check_build_options"]


class BuildOptions(TypedDict, total=False):
    """Options of a build; each that is absent has the engine's default."""

    target: str
    """The stage to build; the build stops after it."""

    labels: Mapping[str, str]
    platform: str
    pull: bool
    """Pull base images even if they exist locally."""

    no_cache: bool
    cache_from: Sequence[str]
    network_mode: str
    extra_hosts: Sequence[str]
    """``name:address``."""

    quiet: bool
    rm: bool
    """Remove the containers of steps after success; true by default."""

    force_rm: bool
    squash: bool
    remote: str
    """A URL to fetch the context from: a git repository, an archive or a Dockerfile."""

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


_HINTS: Final = {
    "buildargs": "build_args",
    "build_arg": "build_args",
    "container_limits": "memory, memory_swap, cpu_shares and cpuset_cpus",
    "context": "path or archive",
    "custom_context": "archive",
    "encoding": "archive",
    "add_host": "extra_hosts",
    "extrahosts": "extra_hosts",
    "file": "dockerfile",
    "fileobj": "archive",
    "forcerm": "force_rm",
    "isolation": "client.build.build(isolation=...)",
    "label": "labels",
    "network": "network_mode",
    "networkmode": "network_mode",
    "nocache": "no_cache",
    "q": "quiet",
    "shmsize": "shm_size",
    "tag": "tags",
    "t": "tags",
    "url": "remote",
}
"""The right words for names of docker-py, of the docker command and of the API."""

_OTHERS: Final = ("path", "archive", "tags", "dockerfile", "build_args", "progress", "timeout")


def check_build_options(path: object, archive: object, options: Mapping[str, Any]) -> None:
    """Refuse options that do not exist, and a build with no context or with several.

    Args:
        path: the directory of the context, or None.
        archive: the context as an archive, or None.
        options: the other options by name.

    Raises:
        TypeError: an option does not exist or has the wrong type, or there is not exactly one
            context.
    """
    check_options("build", options, BuildOptions.__annotations__, _HINTS, _OTHERS)
    for name, value in options.items():
        check_type(BuildOptions.__annotations__[name], value, name)
    contexts = [path is not None, archive is not None, bool(options.get("remote"))]
    if sum(contexts) != 1:
        raise TypeError("build() takes one of path, archive and remote")


def build_context(directory: str, dockerfile: str) -> tuple[str, Iterator[bytes]]:
    """Make the context of a build.

    Args:
        directory: the context's directory.
        dockerfile: the Dockerfile's path; it may lie outside of the directory.

    Returns:
        The Dockerfile's name in the context, and the bytes of the context as an archive.

    Raises:
        ConfigError: the directory or the Dockerfile does not exist.
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
    """Return the arguments of ``build.build`` except for the context."""
    made: dict[str, Any] = {
        "t": [tags] if isinstance(tags, str) else list(tags),
        "dockerfile": "" if dockerfile == "Dockerfile" else dockerfile,
    }
    if build_args:
        made["build_args"] = _json(dict(build_args))
    if credentials:
        made["registry_config"] = dict(credentials)
    for name, value in options.items():
        if name in _JSON:
            made[name] = _json(without_defaults(value))
        elif name in _SIZES:
            made[_SIZES[name]] = memory(value)  # type: ignore[arg-type]
        elif name == "extra_hosts":
            made[name] = list(value)  # type: ignore[call-overload]
        else:
            made[_NAMES.get(name, name)] = value
    return made


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
