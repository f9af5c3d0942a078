"""Validation of binds, mounts, tmpfs and volumes of a request.

There are three ways to ask for a mount: ``Binds`` (and ``--volume``) in the short form,
``Mounts`` (and ``--mount``) in the long form, and ``Tmpfs``; and images have ``Volumes``.
All of them become a :class:`MountRequest`.
"""

import posixpath
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

from palan.api import Unset
from palan.api.containers import ContainerConfig, HostConfig, Mount, VolumeOptions
from palan.api.errors import InvalidParameter
from palan.engine.oci.mounts import tmpfs_mount
from palan.engine.oci.tmpfs import tmpfs_options_text


__all__ = [
    "PROPAGATION_MODES",
    "MountRequest",
    "mount_requests",
    "parse_bind",
    "parse_binds",
    "parse_mount",
    "parse_volumes_from",
    "relabel_warnings",
    "valid_mode",
    "validate_mounts",
    "volume_driver_warnings",
]

PROPAGATION_MODES: Final = frozenset(
    {"private", "rprivate", "slave", "rslave", "shared", "rshared"}
)

_MODES: Final = (
    # At most one option of each kind is allowed.
    frozenset({"rw", "ro"}),
    frozenset({"z", "Z"}),
    PROPAGATION_MODES,
    frozenset({"nocopy"}),
    frozenset({"consistent", "cached", "delegated"}),
)
_VOLUME_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")

_NAME_MAX: Final = 255
_PATH_MAX: Final = 4095
"""The largest number of bytes of a file name, and of a path, on Linux."""

Kind = Literal["bind", "volume", "tmpfs", "image"]


@dataclass(frozen=True, slots=True)
class MountRequest:
    """A mount that a container is to have.

    Attributes:
        kind: ``bind``, ``volume``, ``tmpfs`` or ``image``.
        destination: absolute, clean path in the container.
        source: a path of the host, the name of a volume (empty for an anonymous one) or
            an image.
        read_only: whether it cannot be written.
        mode: the options as given in the short form; inspect shows them.
        propagation: the propagation of a bind, never empty; empty for other kinds.
        propagation_asked: whether the client asked for that propagation.
        recursive: whether mounts below the source are included.
        read_only_recursive: whether those are read-only too.
        create_source: whether an absent directory of the host is created.
        copy: whether an empty volume is filled with the image's files.
        driver: the driver of a volume that is created.
        driver_options: the driver options of a volume that is created.
        labels: the labels of a volume that is created.
        subpath: the part of the volume or image that is mounted.
        tmpfs_options: the options of a tmpfs, in the short form.
        from_image: whether only ``Config.Volumes`` asks for it.
        listed: whether inspect lists it among ``Mounts``; ``HostConfig.Tmpfs`` is not.
    """

    kind: Kind
    destination: str
    source: str = ""
    read_only: bool = False
    mode: str = ""
    propagation: str = ""
    propagation_asked: bool = field(default=False, compare=False)
    recursive: bool = True
    read_only_recursive: Literal["possible", "never", "required"] = "possible"
    create_source: bool = False
    copy: bool = True
    driver: str = ""
    driver_options: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    subpath: str = ""
    tmpfs_options: str = ""
    from_image: bool = False
    listed: bool = True


# ---- the short form ---------------------------------------------------------------


def valid_mode(mode: str) -> bool:
    """Whether the options of a short form are known, and at most one of each kind is given."""
    if not mode:
        return True
    words = mode.split(",")
    return all(any(word in kind for kind in _MODES) for word in words) and all(
        sum(word in kind for word in words) <= 1 for kind in _MODES
    )


def parse_bind(text: str, volume_driver: str = "") -> MountRequest:
    """Parse one of ``Binds``: ``source:target[:options]``, or only ``target``.

    Args:
        text: the short form; a source that is not an absolute path is the name of a volume.
        volume_driver: ``HostConfig.VolumeDriver``, for volumes that are created.

    Raises:
        InvalidParameter: it is malformed; in dockerd's words.
    """
    parts = text.split(":")
    invalid = f"invalid volume specification: '{text}'"
    if not parts[0] or len(parts) > 3 or (len(parts) == 2 and valid_mode(parts[1])):
        raise InvalidParameter(invalid)
    source, target = ("", parts[0]) if len(parts) == 1 else parts[:2]
    mode = parts[2] if len(parts) == 3 else ""
    if not valid_mode(mode):
        raise InvalidParameter(f"invalid mode: {mode}")
    words = mode.split(",")
    propagation = next((word for word in words if word in PROPAGATION_MODES), "")
    kind: Kind = "bind" if source.startswith("/") else "volume"
    try:
        if kind == "volume" and propagation:
            raise _config_error(kind, "field BindOptions must not be specified")
        if kind == "bind" and "nocopy" in words:
            raise _config_error(kind, "field VolumeOptions must not be specified")
        _check_target(kind, target)
    except InvalidParameter as error:
        raise InvalidParameter(f"{invalid}: {error.message}") from None
    if kind == "volume":
        _check_volume_name(source)
    return MountRequest(
        kind,
        _clean(target),
        _clean(source) if kind == "bind" else source,
        read_only="ro" in words,
        mode=mode,
        propagation=(propagation or "rprivate") if kind == "bind" else "",
        propagation_asked=bool(propagation),
        create_source=True,
        copy="nocopy" not in words,
        driver=volume_driver if kind == "volume" else "",
    )


def parse_binds(host_config: HostConfig) -> list[MountRequest]:
    """Parse all of ``HostConfig.Binds``.

    Raises:
        InvalidParameter: one is malformed, or two have the same target.
    """
    requests = [parse_bind(text, host_config.volume_driver) for text in host_config.binds or ()]
    _check_duplicates(requests)
    return requests


def parse_volumes_from(text: str) -> tuple[str, str]:
    """Parse one of ``VolumesFrom``: the container, and ``rw`` or the given options.

    Raises:
        InvalidParameter: it is empty, or has unknown options.
    """
    if not text:
        raise InvalidParameter("volumes-from specification cannot be an empty string")
    container, _, mode = text.partition(":")
    words = set(mode.split(","))
    if not valid_mode(mode) or words & PROPAGATION_MODES or "nocopy" in words:
        raise InvalidParameter(f"invalid mode: {mode}")
    return container, mode or "rw"


# ---- the long form ----------------------------------------------------------------


def parse_mount(mount: Mount, path_exists: Callable[[str], bool]) -> MountRequest:
    """Check one of ``Mounts``.

    Args:
        mount: the long form.
        path_exists: returns whether a path exists on the host.

    Raises:
        InvalidParameter: it is invalid; in dockerd's words.
    """
    kind = mount.type
    for name, options, proper in (
        ("VolumeOptions", mount.volume_options, "volume"),
        ("BindOptions", mount.bind_options, "bind"),
        ("TmpfsOptions", mount.tmpfs_options, "tmpfs"),
    ):
        if options is not None and kind != proper:
            raise InvalidParameter(f'{name} must not be specified on mount type "{kind}"')
    for name, present, proper in (
        ("ImageOptions", mount.image_options is not None, "image"),
        ("ClusterOptions", mount.cluster_options is not None, "cluster"),
    ):
        if present and kind != proper:
            raise _config_error(kind, f"field {name} must not be specified")
    _check_target(kind, mount.target)
    match kind:
        case "bind":
            return _bind(mount, path_exists)
        case "volume":
            return _volume(mount)
        case "tmpfs":
            return _tmpfs(mount)
        case "image":
            return _image(mount)
    raise _config_error(kind, "mount type unknown")


def _bind(mount: Mount, path_exists: Callable[[str], bool]) -> MountRequest:
    options = mount.bind_options
    if not mount.source:
        raise _config_error("bind", "field Source must not be empty")
    if options is not None and options.propagation not in PROPAGATION_MODES | {""}:
        raise _config_error("bind", f"invalid propagation mode: {options.propagation}")
    if not mount.source.startswith("/"):
        raise _config_error(
            "bind", f"invalid mount path: '{mount.source}' mount path must be absolute"
        )
    create = options is not None and options.create_mountpoint
    if not create and not path_exists(mount.source):
        raise _config_error("bind", f"bind source path does not exist: {mount.source}")
    never = options is not None and options.read_only_non_recursive
    required = options is not None and options.read_only_force_recursive
    for first, second, both in (
        ("!ReadOnly", "BindOptions.ReadOnlyNonRecursive", never and not mount.read_only),
        ("!ReadOnly", "BindOptions.ReadOnlyForceRecursive", required and not mount.read_only),
        ("ReadOnlyNonRecursive", "BindOptions.ReadOnlyForceRecursive", never and required),
    ):
        if both:
            raise InvalidParameter(f"mount options conflict: {first} && {second}")
    return MountRequest(
        "bind",
        _clean(mount.target),
        _clean(mount.source),
        read_only=mount.read_only,
        propagation=(options.propagation if options else "") or "rprivate",
        propagation_asked=options is not None and bool(options.propagation),
        recursive=options is None or not options.non_recursive,
        read_only_recursive="never" if never else "required" if required else "possible",
        create_source=create,
    )


def _volume(mount: Mount) -> MountRequest:
    options = mount.volume_options or VolumeOptions()
    if options.subpath:
        if not mount.source:
            raise _config_error("volume", "must not set Subpath when using anonymous volumes")
        _check_subpath("volume", options.subpath)
    _check_volume_name(mount.source)
    driver = options.driver_config
    return MountRequest(
        "volume",
        _clean(mount.target),
        mount.source,
        read_only=mount.read_only,
        create_source=True,
        copy=not options.no_copy,
        driver=driver.name if driver else "",
        driver_options=dict(driver.options or {}) if driver else {},
        labels=dict(options.labels or {}),
        subpath=options.subpath,
    )


def _tmpfs(mount: Mount) -> MountRequest:
    if mount.source:
        raise _config_error("tmpfs", "field Source must not be specified")
    if mount.tmpfs_options is not None and mount.tmpfs_options.size_bytes < 0:
        raise _config_error("tmpfs", "size must not be negative")
    try:
        text = tmpfs_options_text(mount.tmpfs_options, read_only=mount.read_only)
    except InvalidParameter as error:
        raise _config_error("tmpfs", error.message) from None
    return MountRequest(
        "tmpfs", _clean(mount.target), read_only=mount.read_only, tmpfs_options=text
    )


def _image(mount: Mount) -> MountRequest:
    if not mount.source:
        raise _config_error("image", "field Source must not be empty")
    subpath = mount.image_options.subpath if mount.image_options else ""
    if subpath:
        _check_subpath("image", subpath)
    return MountRequest(
        "image", _clean(mount.target), mount.source, read_only=True, subpath=subpath
    )


# ---- all together -----------------------------------------------------------------


def mount_requests(
    config: ContainerConfig,
    host_config: HostConfig,
    path_exists: Callable[[str], bool] = lambda _path: True,
) -> list[MountRequest]:
    """Return all mounts that a container asks for, with each destination once.

    Binds and mounts come first, then ``Tmpfs``; the volumes of ``Config.Volumes`` come
    last, for destinations without another mount.  The caller adds those of ``VolumesFrom``,
    which take precedence over volumes ``from_image`` only.

    Raises:
        InvalidParameter: one is malformed, or two have the same destination.
    """
    requests = parse_binds(host_config)
    if not isinstance(host_config.mounts, Unset):
        requests += (parse_mount(mount, path_exists) for mount in host_config.mounts)
    if not isinstance(host_config.tmpfs, Unset):
        for destination, options in host_config.tmpfs.items():
            _check_destination(destination)
            tmpfs_mount(destination, options)
            requests.append(
                MountRequest("tmpfs", _clean(destination), tmpfs_options=options, listed=False)
            )
    _check_duplicates(requests)
    taken = {request.destination for request in requests}
    for path in config.volumes or ():
        destination = _clean("/" + path)
        if destination not in taken:
            taken.add(destination)
            requests.append(
                MountRequest(
                    "volume", destination, driver=host_config.volume_driver, from_image=True
                )
            )
    for request in requests:
        _check_path(request.destination)
        _check_path(request.source)
    return requests


def validate_mounts(
    config: ContainerConfig,
    host_config: HostConfig,
    *,
    path_exists: Callable[[str], bool],
    recursive_read_only: bool,
) -> list[str]:
    """Check the mounts, and return warnings.

    Raises:
        InvalidParameter: in dockerd's words.
    """
    requests = mount_requests(config, host_config, path_exists)
    if not recursive_read_only and any(
        request.read_only and request.read_only_recursive == "required" for request in requests
    ):
        raise InvalidParameter(
            "rro is not supported: it needs Linux 5.12 or later and a runtime that knows it"
        )
    for text in host_config.volumes_from or ():
        parse_volumes_from(text)
    return volume_driver_warnings(host_config)


def volume_driver_warnings(host_config: HostConfig) -> list[str]:
    """Warn if ``VolumeDriver`` has no effect, as it applies to the short form only."""
    if not host_config.volume_driver or isinstance(host_config.mounts, Unset):
        return []
    for mount in host_config.mounts:
        options = mount.volume_options
        driver = options.driver_config if options else None
        if mount.type == "volume" and not (driver and driver.name):
            warning = (
                "WARNING: the container-wide volume-driver configuration is ignored for volumes"
                " specified via 'mount'. Use '--mount type=volume,volume-driver=...' instead"
            )
            return [warning]
    return []


def relabel_warnings(host_config: HostConfig) -> list[str]:
    """Warn about options for SELinux, which have no effect."""
    if any({"z", "Z"} & set(request.mode.split(",")) for request in parse_binds(host_config)):
        return ["SELinux is not supported; the options z and Z of binds have no effect."]
    return []


def _config_error(kind: str, why: str) -> InvalidParameter:
    return InvalidParameter(f'invalid mount config for type "{kind}": {why}')


def _check_target(kind: str, target: str) -> None:
    if not target:
        raise _config_error(kind, "field Target must not be empty")
    try:
        _check_destination(target)
    except InvalidParameter as error:
        raise _config_error(kind, error.message) from None


def _check_destination(path: str) -> None:
    if _clean(path) == "/":
        raise InvalidParameter("invalid specification: destination can't be '/'")
    if not path.startswith("/"):
        raise InvalidParameter(f"invalid mount path: '{path}' mount path must be absolute")


def _check_path(path: str) -> None:
    """Refuse paths that the kernel would refuse or cut off."""
    if "\0" in path:
        raise InvalidParameter("invalid mount path: it contains a NUL character")
    encoded = path.encode("utf-8", "surrogateescape")
    if len(encoded) > _PATH_MAX or any(len(name) > _NAME_MAX for name in encoded.split(b"/")):
        raise InvalidParameter(f"invalid mount path: '{path}': file name too long")


def _check_subpath(kind: str, subpath: str) -> None:
    if subpath.startswith("/") or ".." in posixpath.normpath(subpath).split("/"):
        raise _config_error(kind, "subpath must be a relative path within the volume")


def _check_volume_name(name: str) -> None:
    if not name or _VOLUME_NAME.fullmatch(name):
        return
    if len(name) == 1:
        raise InvalidParameter(
            f"create {name}: volume name is too short,"
            " names should be at least two alphanumeric characters"
        )
    raise InvalidParameter(
        f'create {name}: "{name}" includes invalid characters for a local volume name, only'
        ' "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory,'
        " use absolute path"
    )


def _check_duplicates(requests: Iterable[MountRequest]) -> None:
    seen: set[str] = set()
    for request in requests:
        if request.destination in seen:
            raise InvalidParameter(f"Duplicate mount point: {request.destination}")
        seen.add(request.destination)


def _clean(path: str) -> str:
    # normpath() keeps two leading slashes, which POSIX allows to differ from one.
    return re.sub(r"^//+", "/", posixpath.normpath(path))
