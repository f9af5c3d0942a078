"""``HostConfig.DeviceRequests``: devices asked for by what they can do (``--gpus``, CDI names).

There is one driver, ``cdi``.  What is asked of a graphics card without naming it is served by
the same files, where a vendor that we know has described its devices there.
"""

from collections.abc import Iterable
from typing import Any, Final

from palan.api.containers import DeviceMapping, DeviceRequest
from palan.api.errors import InvalidParameter
from palan.engine.containers.devices import asked_devices
from palan.engine.oci.cdi import inject
from palan.engine.oci.devices import DeviceNode
from palan.host.cdi import CdiEdits, CdiRegistry, Unresolvable


__all__ = ["check_device_requests", "inject_devices"]

_VENDORS: Final = {
    "nvidia": (
        "nvidia.com/gpu",
        frozenset(
            {
                "gpu",
                "nvidia",
                "compute",
                "compat32",
                "graphics",
                "utility",
                "video",
                "display",
            }
        ),
    ),
    "amd": ("amd.com/gpu", frozenset({"gpu", "amd"})),
}
"""By the driver that may be asked for: the kind of its devices, and what they can do."""


def check_device_requests(
    requests: Iterable[DeviceRequest] | None, registry: CdiRegistry
) -> list[CdiEdits]:
    """Find what a container must have.  Blocking: files may have to be read.

    Raises:
        InvalidParameter: there is no such driver or device; in dockerd's words.
    """
    names: list[str] = []
    for request in requests or ():
        names += _names(request, registry)
    if not names:
        return []
    try:
        return registry.resolve(names)
    except Unresolvable as error:
        raise InvalidParameter(f"CDI device injection failed: {error}") from None


def inject_devices(spec: dict[str, Any], edits: Iterable[CdiEdits]) -> None:
    """Put the devices into a runtime spec.

    Raises:
        InvalidParameter: a device node is not there, or the description makes no sense.
    """
    edits = list(edits)
    nodes: dict[str, DeviceNode] = {}
    for edit in edits:
        for node in edit.device_nodes:
            path = node.host_path or node.path
            if node.type and node.major is not None and node.minor is not None:
                continue  # it is described in full, and need not be there
            nodes[path] = asked_devices(DeviceMapping(path_on_host=path))[0]
    try:
        inject(spec, edits, nodes)
    except ValueError as error:
        raise InvalidParameter(f"CDI device injection failed: {error}") from None


def _names(request: DeviceRequest, registry: CdiRegistry) -> list[str]:
    """The qualified names of the devices asked for."""
    if request.driver == "cdi" and registry.directories:
        if request.count:
            raise InvalidParameter("unexpected count in CDI device request")
        if request.options:
            raise InvalidParameter("unexpected options in CDI device request")
        return list(request.device_ids or ())
    kind = _kind(request, registry)
    if not kind:
        raise InvalidParameter(
            f'could not select device driver "{request.driver}" with capabilities:'
            f" {_capabilities(request)}"
        )
    if request.count and request.device_ids:
        raise InvalidParameter("cannot set both Count and DeviceIDs on device request")
    if request.count < 0:
        wanted = ["all"]
    elif request.count:
        wanted = [str(number) for number in range(request.count)]
    else:
        wanted = list(request.device_ids or ())
    return [name if "=" in name else f"{kind}={name}" for name in wanted]


def _kind(request: DeviceRequest, registry: CdiRegistry) -> str:
    """The kind of device that serves a request; empty for none."""
    there = registry.kinds()
    for driver, (kind, abilities) in _VENDORS.items():
        if kind not in there:
            continue
        if request.driver == driver:
            return kind
        # Any of these sets will do, which the devices must have as a whole.
        if not request.driver and any(
            names and abilities.issuperset(names) for names in request.capabilities or ()
        ):
            return kind
    return ""


def _capabilities(request: DeviceRequest) -> str:
    # As Go prints a list of lists.
    return "[" + " ".join(f"[{' '.join(names)}]" for names in request.capabilities or ()) + "]"
