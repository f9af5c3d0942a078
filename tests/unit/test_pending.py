"""The list of endpoints that are not implemented: it may only shrink, and is accurate."""

from palan.api.registry import endpoints
from palan.engine.builder import Builds
from palan.engine.containers import Containers
from palan.engine.exec import Execs
from palan.engine.images import Images
from palan.engine.networks import Networks
from palan.engine.pending import PENDING
from palan.engine.plugins import Plugins
from palan.engine.system import System
from palan.engine.volumes import Volumes


ROOMS = {
    "build": Builds,
    "containers": Containers,
    "exec": Execs,
    "images": Images,
    "networks": Networks,
    "plugins": Plugins,
    "system": System,
    "volumes": Volumes,
}

AT_MOST = 41
"""Lower this number whenever an endpoint is implemented; never raise it."""


def test_an_operation_is_either_built_or_pending():
    declared = {e.name for e in endpoints()}
    built = {
        e.name for e in endpoints() if e.group in ROOMS and hasattr(ROOMS[e.group], e.operation)
    }
    assert declared >= PENDING
    assert not built & PENDING
    assert built | PENDING == declared


def test_the_list_only_shrinks():
    assert len(PENDING) <= AT_MOST
