"""The examples of docs/guide.md work."""

import re
import subprocess
import sys
from pathlib import Path

import pytest


pytestmark = pytest.mark.root

GUIDE = Path(__file__).parents[2] / "docs/guide.md"

TEST = """
import sys
sys.path.insert(0, {repository!r})
from tests.support.image import busybox_tar

def test_a_container(engine):
    engine.api.import_image_from_data(busybox_tar(), repository="busybox", tag="latest")
    assert engine.containers.run("busybox", "echo hello", remove=True) == b"hello\\n"
    engine.containers.run("busybox", "sleep 600", detach=True)  # left running
"""


def test_an_engine_for_a_test_session(tmp_path):
    (fixture,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    (tmp_path / "conftest.py").write_text(fixture)
    (tmp_path / "test_it.py").write_text(TEST.format(repository=str(GUIDE.parents[1])))
    before = _engines()
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path,
         tmp_path],
        check=False, capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert "1 passed" in result.stdout, result.stdout + result.stderr
    assert "error" not in result.stdout
    assert _engines() - before == set()


def _engines() -> set[str]:
    """Return directories below /run that an engine of the guide could have left behind."""
    return {path.name for path in Path("/run").glob("tmp*")}


@pytest.mark.parametrize("unit", ["palan.service", "palan.socket"])
def test_units_have_what_containers_need(unit):
    text = (GUIDE.parents[1] / "contrib" / unit).read_text()
    wanted = {
        "palan.service": ["Type=notify", "KillMode=process", "Delegate=yes", "--host fd://"],
        "palan.socket": ["ListenStream=/run/palan.sock", "SocketMode=0660"],
    }
    for line in wanted[unit]:
        assert line in text
