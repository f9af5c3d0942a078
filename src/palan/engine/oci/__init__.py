"""Conversion of a container's configuration to an OCI runtime spec, without any I/O.

``spec`` combines the parts that the other modules build: ``process``, ``capabilities``,
``seccomp``, ``devices``, ``mounts``, ``resources``, ``rlimits``.  Facts about the machine are
passed in as :class:`Host` and :class:`SpecInput`.
"""

from palan.engine.oci.devices import DeviceNode
from palan.engine.oci.host import Host, ProcessLimits
from palan.engine.oci.mounts import MountPlan, bind_mount, tmpfs_mount
from palan.engine.oci.process import User, exec_process
from palan.engine.oci.spec import Namespaces, SpecInput, runtime_spec


__all__ = [
    "DeviceNode",
    "Host",
    "MountPlan",
    "Namespaces",
    "ProcessLimits",
    "SpecInput",
    "User",
    "bind_mount",
    "exec_process",
    "runtime_spec",
    "tmpfs_mount",
]
