"""Damaged rows and read-only disks: nothing is deleted that is not understood."""

import contextlib
import json
import sqlite3
import subprocess

import pytest
from tests.support.crash import running
from tests.support.engine import TestEngine


pytestmark = pytest.mark.root


@contextlib.contextmanager
def changed(engine, container):
    """Stop the engine, yield its rows and the row of a container, and start it again."""
    engine.stop()
    with contextlib.closing(sqlite3.connect(engine.config.paths.database)) as rows:
        (record,) = rows.execute(
            "SELECT record FROM containers WHERE id = ?", (container,)
        ).fetchone()
        yield rows, json.loads(record)
        rows.commit()
    engine.start()


def test_a_damaged_id_is_mended_or_its_files_are_kept():
    with running() as engine:
        container = engine.run("sh", "-c", "echo precious > /file", name="it")
        engine.wait(container)
        with changed(engine, container) as (rows, _):
            rows.execute("UPDATE containers SET id = 'damaged'")
        assert engine.inspect("it")["Id"] == container
        with changed(engine, container) as (rows, record):
            damaged = json.dumps(record).replace(container, "../" + container[3:])
            rows.execute("UPDATE containers SET record = ?", (damaged.encode(),))
        assert engine.inspect("it")["Id"] == container
        with changed(engine, container) as (rows, record):
            damaged = json.dumps(record).replace(container, "damaged")
            rows.execute("UPDATE containers SET id = 'damaged', record = ?", (damaged.encode(),))
        assert engine.api.get("/containers/json?all=1").json == []
        (kept,) = engine.config.paths.set_aside.iterdir()
        assert kept.name.startswith(f"container-{container}-")
        assert (kept / "diff/file").read_text() == "precious\n"
        log = engine.log.read_text()
        assert "the id of a container was damaged and is mended" in log
        assert str(kept) in log


@pytest.mark.parametrize("part", ["data", "data/palan.db"])
def test_a_read_only_data_root_is_the_reason_why_the_engine_does_not_start(part, monkeypatch):
    engine = TestEngine()
    try:
        engine.start()
        engine.stop()
        path = engine.base / part
        script = f'mount --bind {path} {path} && mount -o remount,ro,bind {path} && exec "$@"'
        before = ["unshare", "--mount", "sh", "-c", script, "sh"]
        monkeypatch.setattr(engine, "_hiding", lambda: before)
        with pytest.raises(AssertionError) as failed:
            engine.start()
        assert "ead-only" in str(failed.value) or "readonly" in str(failed.value)
        assert "Traceback" not in str(failed.value)
    finally:
        monkeypatch.undo()
        engine.close()


def test_a_client_is_told_that_the_disk_has_no_inodes():
    engine = TestEngine()
    engine.data_root.mkdir(parents=True)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "nr_inodes=2000", "tmpfs", engine.data_root], check=True
    )
    try:
        engine.start()
        engine.load_image()
        with contextlib.suppress(OSError):
            for number in range(3000):
                (engine.data_root / f"filler-{number}").touch()
        answer = engine.api.post("/volumes/create", {"Name": "full"})
        assert answer.status == 500
        assert answer.message.endswith("no space left on device")
        body = {"Image": "busybox", "Cmd": ["true"]}
        answer = engine.api.post("/containers/create", body)
        assert answer.status == 500
        assert answer.message.endswith("no space left on device")
        for path in engine.data_root.glob("filler-*"):
            path.unlink()
        assert engine.api.post("/volumes/create", {"Name": "full"}).status == 201
    finally:
        engine.close()
        subprocess.run(["umount", "-l", engine.data_root], check=False)
