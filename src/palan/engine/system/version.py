"""``GET /version``."""

from typing import TYPE_CHECKING

import palan
from palan.api import MAX_VERSION
from palan.api.system import ComponentVersion, PlatformName, SystemVersion


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["version"]


def version(engine: "Engine") -> SystemVersion:
    """Versions of the engine, of the programs it stands on, and of the machine."""
    machine = engine.machine.facts
    details = {
        "ApiVersion": str(MAX_VERSION),
        "Arch": machine.go_architecture,
        "BuildTime": "",
        "Experimental": "false",
        "GitCommit": "",
        "GoVersion": "",
        "KernelVersion": machine.kernel_version,
        "MinAPIVersion": engine.config.min_api_version,
        "Os": "linux",
    }
    components = [ComponentVersion(name="Engine", version=palan.__version__, details=details)]
    components += [
        ComponentVersion(name=name, version=found, details={"Path": path})
        for name, path, found in engine.runtimes.programs()
    ]
    return SystemVersion(
        platform=PlatformName(name="Palan"),
        version=palan.__version__,
        api_version=str(MAX_VERSION),
        min_api_version=engine.config.min_api_version,
        os="linux",
        arch=machine.go_architecture,
        components=components,
        kernel_version=machine.kernel_version,
    )
