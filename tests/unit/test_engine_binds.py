"""The propagation of binds that contain the engine's directories."""

from pathlib import Path

import pytest

from palan.api.errors import InvalidParameter
from palan.engine.containers.engine_binds import with_propagation
from palan.engine.containers.validate_mounts import parse_bind


ROOTS = (Path("/var/lib/palan"), Path("/run/palan"))


@pytest.mark.parametrize(
    ("bind", "propagation"),
    [
        ("/:/x", "rslave"),
        ("/var/lib:/x:ro", "rslave"),
        ("/var/lib/palan:/x", "rslave"),
        ("/var/lib/palan/volumes/v:/x", "rslave"),
        ("/run:/x", "rslave"),
        ("/:/x:rshared", "rshared"),
        ("/:/x:rslave", "rslave"),
        ("/var/lib/palan2:/x", "rprivate"),
        ("/etc:/x:shared", "shared"),
        ("volume:/x", ""),
    ],
)
def test_propagation(bind, propagation):
    assert with_propagation(parse_bind(bind), ROOTS).propagation == propagation


@pytest.mark.parametrize("propagation", ["private", "rprivate", "slave", "shared"])
def test_private_copies_are_refused(propagation):
    with pytest.raises(InvalidParameter, match='must use either propagation mode "rslave"'):
        with_propagation(parse_bind(f"/var/lib:/x:{propagation}"), ROOTS)
