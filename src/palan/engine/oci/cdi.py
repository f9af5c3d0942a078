"""Applies the edits of CDI devices to a runtime spec (CDI specification, "Container Edits")."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from palan.engine.oci.devices import ACCESS, DeviceNode
from palan.host.cdi import CdiDeviceNode, CdiEdits, CdiMount


__all__ = ["inject"]

_HOOKS: Final = frozenset(
    {
        "prestart",
        "createRuntime",
        "createContainer",
        "startContainer",
        "poststart",
        "poststop",
    }
)


def inject(
    spec: dict[str, Any], edits: Iterable[CdiEdits], nodes: Mapping[str, DeviceNode]
) -> None:
    """Change a runtime spec in place.

    Args:
        spec: the runtime spec.
        edits: the edits of the devices, in this order.
        nodes: the device nodes that the edits name, by their path on the host.

    Raises:
        ValueError: the name of a hook is unknown.
    """
    for edit in edits:
        _inject(spec, edit, nodes)


def _inject(spec: dict[str, Any], edit: CdiEdits, nodes: Mapping[str, DeviceNode]) -> None:
    process, linux = spec["process"], spec["linux"]
    if edit.env:
        names = {entry.partition("=")[0] for entry in edit.env}
        kept = [e for e in process.get("env", ()) if e.partition("=")[0] not in names]
        process["env"] = [*kept, *edit.env]
    for node in edit.device_nodes:
        _add_device(linux, node, nodes.get(node.host_path or node.path), process["user"])
    if edit.mounts:
        taken = {mount.container_path for mount in edit.mounts}
        kept = [mount for mount in spec["mounts"] if mount["destination"] not in taken]
        # A mount below another one must come after it.
        added = sorted(edit.mounts, key=lambda mount: mount.container_path.count("/"))
        spec["mounts"] = [*kept, *(_mount(mount) for mount in added)]
    for hook in edit.hooks:
        if hook.hook_name not in _HOOKS:
            raise ValueError(f"unknown hook {hook.hook_name!r}")
        entry: dict[str, Any] = {"path": hook.path}
        entry |= {"args": hook.args} if hook.args else {}
        entry |= {"env": hook.env} if hook.env else {}
        entry |= {"timeout": hook.timeout} if hook.timeout is not None else {}
        spec.setdefault("hooks", {}).setdefault(hook.hook_name, []).append(entry)
    if edit.intel_rdt is not None:
        linux["intelRdt"] = edit.intel_rdt
    if edit.additional_gids:
        groups = (*process["user"].get("additionalGids", ()), *edit.additional_gids)
        process["user"]["additionalGids"] = list(dict.fromkeys(groups))


def _add_device(
    linux: dict[str, Any], node: CdiDeviceNode, host: DeviceNode | None, user: dict[str, Any]
) -> None:
    kind = node.type or (host.kind if host else "")
    major = node.major if node.major is not None else (host.major if host else 0)
    minor = node.minor if node.minor is not None else (host.minor if host else 0)
    device: dict[str, Any] = {"path": node.path, "type": kind, "major": major, "minor": minor}
    mode = node.file_mode if node.file_mode is not None else (host.mode if host else None)
    if mode is not None:
        device["fileMode"] = mode & 0o7777
    for name, given in (("uid", node.uid), ("gid", node.gid)):
        # Where the file names no owner, the container's user owns the device.
        owner = given if given is not None else user.get(name)
        if owner is not None:
            device[name] = owner
    others = [other for other in linux.get("devices", ()) if other["path"] != node.path]
    linux["devices"] = [*others, device]
    if kind in ("b", "c"):
        rule = {"allow": True, "type": kind, "major": major, "minor": minor}
        rule["access"] = node.permissions or ACCESS
        linux["resources"].setdefault("devices", []).append(rule)


def _mount(mount: CdiMount) -> dict[str, Any]:
    options = mount.options or ["rbind", "ro", "nosuid", "nodev"]
    kind = mount.type or "bind"
    if kind == "bind" and not {"bind", "rbind"} & set(options):
        options = ["rbind", *options]
    return {
        "type": kind,
        "source": mount.host_path,
        "destination": mount.container_path,
        "options": options,
    }
