"""The document agrees with the declared directives, and every directive is used."""

import re
import sys
from pathlib import Path

import pytest
from scripts.configuration_table import DOCUMENT, rendered

import palan
from palan.engine.config_load import directives


SOURCES = Path(palan.__file__).parent
# The engine's configuration, not a container's: config.x, engine.config.x, self._engine.config.x
USE = re.compile(r"(?<![\w.])(?:self\.)?(?:_?(?:engine|context)\.)?_?config\.(\w+)")
DECLARED = {"config.py", "config_check.py", "config_load.py"}


def test_the_document_is_up_to_date():
    document = DOCUMENT.read_text()
    assert rendered(document) == document, "run python scripts/configuration_table.py"


def test_the_check_tells_when_it_is_out_of_date(tmp_path, monkeypatch, capsys):
    from scripts import configuration_table as script

    stale = tmp_path / "configuration.md"
    stale.write_text(f"before\n{script.BEGIN}\n{script.END}\nafter\n")
    monkeypatch.setattr(script, "DOCUMENT", stale)
    monkeypatch.setattr(sys, "argv", ["configuration_table.py", "--check"])
    assert script.main() == 1
    assert "is out of date" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["configuration_table.py"])
    assert script.main() == 0
    monkeypatch.setattr(sys, "argv", ["configuration_table.py", "--check"])
    assert script.main() == 0


@pytest.fixture(scope="module")
def uses():
    found = set()
    for path in SOURCES.rglob("*.py"):
        if path.name not in DECLARED:
            found |= set(USE.findall(path.read_text()))
    # These have their effect through derived values, or because they allow only one value.
    derived = {
        "hosts": {"tls", "exec_opts", "storage_driver", "firewall_backend"},
        "paths": {"data_root", "exec_root"},
        "bridge_name": {"bridge"},
        "cgroup_root": {"cgroup_parent"},
        "socket_group": {"group"},
    }
    for name, fields in derived.items():
        if name in found:
            found |= fields
    return found


@pytest.mark.parametrize("directive", directives().values(), ids=lambda d: d.key)
def test_a_directive_has_effect_or_says_why_not(directive, uses):
    assert directive.field in uses or directive.option.inert or directive.option.refused
