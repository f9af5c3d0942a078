"""``GET /version``."""

import palan
from palan.api import MAX_VERSION
from palan.api.system import ComponentVersion, PlatformName, SystemVersion
from palan.engine.system.surroundings import Surroundings


__all__ = ["version"]


def version(surroundings: Surroundings) -> SystemVersion:
    """Return the versions of the engine, of the runtimes and of the kernel."""
    machine = surroundings.machine.facts
    details = {
        "ApiVersion": str(MAX_VERSION),
        "Arch": machine.go_architecture,
        "BuildTime": "",
        "Experimental": "false",
        "GitCommit": "",
        "GoVersion": "",
        "KernelVersion": machine.kernel_version,
        "MinAPIVersion": surroundings.config.min_api_version,
        "Os": "linux",
    }
    components = [ComponentVersion(name="Engine", version=palan.__version__, details=details)]
    components += [
        ComponentVersion(name=name, version=found, details={"Path": path})
        for name, path, found in surroundings.runtimes.programs()
    ]
    return SystemVersion(
        platform=PlatformName(name="Palan"),
        version=palan.__version__,
        api_version=str(MAX_VERSION),
        min_api_version=surroundings.config.min_api_version,
        os="linux",
        arch=machine.go_architecture,
        components=components,
        kernel_version=machine.kernel_version,
    )
