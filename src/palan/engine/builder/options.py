"""The options of a build, which are checked before its context is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from palan.api.auth import AuthConfig
from palan.api.build import BuildImage
from palan.api.containers import HostConfig, LogConfig, Ulimit
from palan.api.errors import InvalidParameter
from palan.engine.images.platform import Platform, parse_specifier
from palan.engine.images.reference import Reference, parse


__all__ = ["DEFAULT_DOCKERFILE", "Options", "read_options"]

DEFAULT_DOCKERFILE: Final = "Dockerfile"

_BUILDKIT: Final = (
    "version 2 is BuildKit, which this engine does not have; build with version=1, which clients"
    " do with DOCKER_BUILDKIT=0"
)


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a build.

    Attributes:
        dockerfile: the path of the Dockerfile in the context; never empty.
        remote: the address of a remote context; empty if the body is the context.
        names: the names of the image.
        arguments: build arguments; None is one that was named without a value.
        labels: the labels to add to the image, sorted by name.
        cache_from: the images to take cached steps from.
        no_cache: execute every step, without a look at the cache.
        pull: pull base images even if they are here.
        remove: remove the containers of steps that succeeded.
        remove_failed: remove the containers of steps that failed.
        quiet: send only the id of the image.
        target: the stage to stop after.
        platform: the platform of ``FROM`` without its own.
        credentials: the client's credentials, by the address of the registry.
        id: an id by which the build can be cancelled.
        request: further options, see :meth:`host_config`.
    """

    dockerfile: str
    remote: str
    names: tuple[Reference, ...]
    arguments: Mapping[str, str | None]
    labels: Mapping[str, str]
    cache_from: tuple[str, ...]
    no_cache: bool
    pull: bool
    remove: bool
    remove_failed: bool
    quiet: bool
    target: str
    platform: Platform | None
    credentials: Mapping[str, AuthConfig]
    id: str
    request: BuildImage
    ulimits: tuple[Ulimit, ...]

    def host_config(self) -> HostConfig:
        """Return a new host configuration for the container of a step."""
        request = self.request
        return HostConfig(
            memory=request.memory,
            memory_swap=request.mem_swap,
            cpu_shares=request.cpu_shares,
            cpu_period=request.cpu_period,
            cpu_quota=request.cpu_quota,
            cpuset_cpus=request.cpuset_cpus,
            cpuset_mems=request.cpuset_mems,
            cgroup_parent=request.cgroup_parent,
            ulimits=[Ulimit(name=u.name, hard=u.hard, soft=u.soft) for u in self.ulimits],
            shm_size=request.shm_size,
            network_mode=request.network_mode,
            extra_hosts=list(request.extra_hosts),
            # The output is sent to the client at once, and is not read again.
            log_config=LogConfig(type="none"),
        )


def read_options(request: BuildImage, *, experimental: bool) -> Options:
    """Check a request, and return its options.

    Raises:
        InvalidParameter: an option is invalid, in dockerd's words; or it needs BuildKit.
    """
    if request.version == "2":
        raise InvalidParameter(_BUILDKIT)
    if request.version not in ("", "1"):
        raise InvalidParameter(f'invalid version "{request.version}"')
    if request.security_opt:
        raise InvalidParameter("security options are not supported on linux")
    if request.squash:
        raise InvalidParameter(
            "squash is not supported by this engine"
            if experimental
            else "squash is only supported with experimental mode"
        )
    if request.outputs:
        raise InvalidParameter("outputs are only supported by BuildKit")
    return Options(
        dockerfile=request.dockerfile or DEFAULT_DOCKERFILE,
        remote=request.remote,
        names=_names(request.t),
        arguments=_decoded(request.build_args, dict[str, str | None], "build args", {}),
        labels=_labels(_decoded(request.labels, dict[str, str | None], "labels", {})),
        cache_from=tuple(_decoded(request.cache_from, list[str], "cache-from", [])),
        no_cache=request.no_cache,
        pull=request.pull,
        remove=request.rm or request.force_rm,
        remove_failed=request.force_rm,
        quiet=request.q,
        target=request.target,
        platform=parse_specifier(request.platform) if request.platform else None,
        credentials=request.registry_config,
        id=request.build_id,
        request=request,
        ulimits=tuple(_decoded(request.ulimits, list[Ulimit], "ulimit settings", [])),
    )


def _labels(given: Mapping[str, str | None]) -> dict[str, str]:
    """Return labels sorted by name; as in Go, ``null`` is an empty text."""
    return {name: value or "" for name, value in sorted(given.items())}


def _names(texts: list[str]) -> tuple[Reference, ...]:
    names: dict[str, Reference] = {}
    for text in texts:
        if not text:
            continue
        reference = parse(text)
        if reference.digest is not None:
            raise InvalidParameter("build tag cannot contain a digest")
        reference = reference.tagged()
        names.setdefault(str(reference), reference)
    return tuple(names.values())


def _decoded(text: str, kind: Any, what: str, default: Any) -> Any:
    """Decode a parameter that is JSON; ``null`` counts as absent."""
    if not text:
        return default
    try:
        value = msgspec.json.decode(text)
        return default if value is None else msgspec.convert(value, kind)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidParameter(f"error reading {what}: {_complaint(text, error)}") from None


def _complaint(text: str, error: Exception) -> str:
    """Describe an error in JSON, in Go's words as far as they are known."""
    if isinstance(error, msgspec.ValidationError):
        return str(error)
    first = text.lstrip()[:1]
    if not first:
        return "unexpected end of JSON input"
    if first not in '{["-0123456789tfn':
        return f"invalid character '{first}' looking for beginning of value"
    return "unexpected end of JSON input" if "truncated" in str(error) else str(error)
