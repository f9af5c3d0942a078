"""The documented list of endpoints agrees with the declarations and the engine."""

import re
import subprocess
import sys
from pathlib import Path

from scripts.api_coverage import DOCUMENT, document

from palan.api.registry import endpoints
from palan.engine.containers.unsupported import UNSUPPORTED_YET
from palan.engine.pending import PENDING


def test_the_document_is_up_to_date():
    assert DOCUMENT.read_text() == document(), "run python scripts/api_coverage.py"


def test_it_names_every_endpoint_once():
    text = document()
    for endpoint in endpoints():
        assert text.count(f"| `{endpoint}` |") == 1
    assert text.count("| pending |") == len(PENDING)


def test_the_check_fails_while_it_is_behind(tmp_path, monkeypatch, capsys):
    from scripts import api_coverage

    monkeypatch.setattr(api_coverage, "DOCUMENT", tmp_path / "api-coverage.md")
    monkeypatch.setattr(sys, "argv", ["api_coverage.py", "--check"])
    assert api_coverage.main() == 1
    assert "is behind" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["api_coverage.py"])
    assert api_coverage.main() == 0
    monkeypatch.setattr(sys, "argv", ["api_coverage.py", "--check"])
    assert api_coverage.main() == 0


def test_it_can_be_run():
    script = Path(__file__).parents[2] / "scripts/api_coverage.py"
    subprocess.run([sys.executable, script, "--check"], check=True)


def test_unsupported_fields_are_documented():
    text = (DOCUMENT.parent / "differences.md").read_text()
    _, _, table = text.partition("## What can be asked for and is not built yet")
    told = dict(re.findall(r"^\| `([^`]+)`[^|]* \| (\w+)", table, re.MULTILINE))
    for name, entry in UNSUPPORTED_YET.items():
        assert told[name] == ("400" if entry.refuse else "warning")
