"""``HostConfig.DeviceRequests``: devices asked for by capability (``--gpus``) or CDI name.

There is one driver, ``cdi``.  A request for a graphics card by its capabilities is served by
the same CDI files, if a known vendor has described its devices there.
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
"""The kind and the capabilities of the devices of each driver that may be asked for."""


def check_device_requests(
    requests: Iterable[DeviceRequest] | None, registry: CdiRegistry
) -> list[CdiEdits]:
    """Return the edits of the runtime spec for the requested devices.  Blocking: reads files.

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
    """Add the devices to a runtime spec.

    Raises:
        InvalidParameter: a device node does not exist, or its description is malformed.
    """
    edits = list(edits)
    nodes: dict[str, DeviceNode] = {}
    for edit in edits:
        for node in edit.device_nodes:
            path = node.host_path or node.path
            if node.type and node.major is not None and node.minor is not None:
                continue  # it is described in full, and need not exist on the host
            nodes[path] = asked_devices(DeviceMapping(path_on_host=path))[0]
    try:
        inject(spec, edits, nodes)
    except ValueError as error:
        raise InvalidParameter(f"CDI device injection failed: {error}") from None


def _names(request: DeviceRequest, registry: CdiRegistry) -> list[str]:
    """Return the qualified names of the requested devices."""
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
    """Return the kind of device that serves a request; empty for none."""
    there = registry.kinds()
    for driver, (kind, abilities) in _VENDORS.items():
        if kind not in there:
            continue
        if request.driver == driver:
            return kind
        # One of the sets must be covered by the devices' capabilities as a whole.
        if not request.driver and any(
            names and abilities.issuperset(names) for names in request.capabilities or ()
        ):
            return kind
    return ""


def _capabilities(request: DeviceRequest) -> str:
    # As Go prints a list of lists.
    return "[" + " ".join(f"[{' '.join(names)}]" for names in request.capabilities or ()) + "]"
