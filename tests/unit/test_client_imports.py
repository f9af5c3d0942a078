"""The cost of importing the client, measured by the modules that are imported."""

import json
import subprocess
import sys
from pathlib import Path

from tests.support.fake_engine import answering, fake_engine, json_answer


HEAVY = {"asyncio", "dataclasses", "inspect", "msgspec", "pathlib", "ssl", "subprocess", "urllib"}

PROGRAM = """
import sys
before = set(sys.modules)
import palan
with palan.Client(sys.argv[1]) as client:
    assert client.system.ping() == "OK"
import json
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_a_ping_needs_no_message_and_nothing_else_that_is_slow_to_import(tmp_path: Path) -> None:
    answer = json_answer(b"OK", headers="Api-Version: 1.41\r\n")
    with fake_engine(tmp_path / "engine.sock", answering(answer)) as engine:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, engine.url],
            check=True,
            capture_output=True,
            env={"HOME": str(tmp_path)},
        )
    imported = json.loads(done.stdout)
    assert "palan.client._sync.client" in imported
    assert not HEAVY & {name.partition(".")[0] for name in imported}
