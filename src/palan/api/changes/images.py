"""Changes of images."""

from typing import Any

from palan.api.changes._change import Call, Change, add_filter, children, drop_query, without
from palan.api.errors import InvalidParameter
from palan.api.version import Version


__all__ = ["CHANGES", "virtual_size"]

_ZERO_TIME = "0001-01-01T00:00:00Z"

_CONTAINER_CONFIG = {
    "AttachStderr": False,
    "AttachStdin": False,
    "AttachStdout": False,
    "Domainname": "",
    "Hostname": "",
    "Image": "",
    "OpenStdin": False,
    "StdinOnce": False,
    "Tty": False,
}
"""Keys that an image's ``Config`` had while it was a container's configuration."""

_EMPTY_CONFIG = {
    "Cmd": None,
    "Entrypoint": None,
    "Env": None,
    "Labels": None,
    "OnBuild": None,
    "User": "",
    "Volumes": None,
    "WorkingDir": "",
}
"""Keys that an image's ``Config`` had even if they were empty."""


# ---- lifts ------------------------------------------------------------------


def _name_pattern(call: Call) -> None:
    """1.25 replaced the parameter for a pattern of names by a filter."""
    pattern = call.query.pop("filter", [""])[0]
    if pattern and '"reference"' not in call.query.get("filters", [""])[0]:
        add_filter(call, "reference", pattern)


def _one_platform(call: Call) -> None:
    """1.52 accepts several platforms."""
    if len(call.query.get("platform", ())) > 1:
        raise InvalidParameter(
            "multiple platform parameters are not supported in this API version; "
            "use API version 1.52 or later"
        )


# ---- lowerings --------------------------------------------------------------


def _none_names(result: Any) -> Any:
    """1.43 removed ``<none>`` names of images without names."""
    for image in children(result):
        if not image.get("RepoTags") and not image.get("RepoDigests"):
            image["RepoTags"] = ["<none>:<none>"]
            image["RepoDigests"] = ["<none>@<none>"]
    return result


def virtual_size(result: Any) -> Any:
    """1.44 removed the second size of an image."""
    for image in [result] if isinstance(result, dict) else children(result):
        image["VirtualSize"] = image.get("Size", 0)
    return result


def _creation_time(result: Any) -> Any:
    """1.44 omits the time of creation if the image has none."""
    result.setdefault("Created", _ZERO_TIME)
    return result


def _container_of_image(result: Any) -> Any:
    """1.45 removed the container in which an image was built.

    Compose 1 looks for volumes there when it recreates a container, so it is not null.
    """
    result["Container"] = ""
    result["ContainerConfig"] = {}
    return result


def _container_config(result: Any) -> Any:
    """1.50 removed keys of containers from an image's configuration."""
    config = result.get("Config")
    if isinstance(config, dict):
        result["Config"] = {**_CONTAINER_CONFIG, **config}
    return result


def _uncounted(result: Any) -> Any:
    """1.51 added the number of containers of each image."""
    for image in children(result):
        image["Containers"] = -1
    return result


def _empty_fields(result: Any) -> Any:
    """1.52 omits empty keys."""
    for name in ("Parent", "Comment", "DockerVersion", "Author"):
        result.setdefault(name, "")
    result["Config"] = {**_EMPTY_CONFIG, **(result.get("Config") or {})}
    return result


def _graph_driver(result: Any) -> Any:
    """1.52 shows the storage of an image only for graph drivers."""
    result.setdefault("GraphDriver", {"Name": "overlayfs", "Data": None})
    return result


_SAVE = ("images.get", "images.get_many", "images.load")

CHANGES = (
    Change(Version(1, 25), ("images.list",), lift=_name_pattern),
    Change(Version(1, 32), ("images.create",), lift=drop_query("platform")),
    Change(Version(1, 42), ("images.list",), lift=drop_query("shared-size")),
    Change(Version(1, 43), ("images.list",), lower=_none_names),
    Change(Version(1, 44), ("images.list", "images.inspect"), lower=virtual_size),
    Change(Version(1, 44), ("images.inspect",), lower=_creation_time),
    Change(Version(1, 45), ("images.inspect",), lower=_container_of_image),
    Change(Version(1, 46), ("images.push",), lift=drop_query("platform")),
    Change(Version(1, 47), ("images.list",), lift=drop_query("manifests")),
    Change(Version(1, 48), ("images.inspect",), lift=drop_query("manifests")),
    Change(Version(1, 48), ("images.history", *_SAVE), lift=drop_query("platform")),
    Change(Version(1, 48), ("images.list", "images.inspect"), lower=without("Descriptor")),
    Change(Version(1, 49), ("images.inspect",), lift=drop_query("platform")),
    Change(Version(1, 50), ("images.remove",), lift=drop_query("platforms")),
    Change(Version(1, 50), ("images.inspect",), lower=_container_config),
    Change(Version(1, 51), ("images.list",), lower=_uncounted),
    Change(Version(1, 52), _SAVE, lift=_one_platform),
    Change(Version(1, 52), ("images.inspect",), lower=_empty_fields),
    Change(Version(1, 52), ("images.inspect",), lower=_graph_driver),
    Change(Version(1, 53), ("images.inspect",), lower=without("Identity")),
    Change(Version(1, 54), ("images.list",), lift=drop_query("identity")),
)
