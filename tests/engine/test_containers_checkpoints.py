"""The engine's handling of checkpoints, with a substitute for criu.

criu works only with kernels that it supports.  The runtime here is the real one except for two
commands: ``checkpoint`` writes a file and, unless asked not to, kills the container; ``restore``
creates it again and starts it.
"""

from pathlib import Path
from typing import Any

import pytest
from tests.support.crash import eventually
from tests.support.engine import TestEngine

from palan.host.oci_runtime import find_programs


pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not find_programs(["criu"]), reason="no criu"),
]

RUNTIME = """#!/bin/sh
real={real}
case " $* " in
  *" checkpoint "*) command=checkpoint ;;
  *" restore "*) command=restore ;;
  *) exec $real "$@" ;;
esac
global=""; bundle=""; pid=""; image=""; leave=""
while [ $# -gt 0 ]; do
  case "$1" in
    --root=*) global=$1 ;;
    --bundle) bundle=$2; shift ;;
    --pid-file) pid=$2; shift ;;
    --image-path) image=$2; shift ;;
    --image-path=*) image=${{1#*=}} ;;
    --leave-running) leave=1 ;;
    *) id=$1 ;;
  esac
  shift
done
if [ $command = checkpoint ]; then
  [ -e {fails} ] && {{ echo "criu failed: type NOTIFY errno 0" >&2; exit 1; }}
  echo "$id" >"$image/inventory.img"
  [ -n "$leave" ] || $real $global kill "$id" KILL
else
  [ -e "$image/inventory.img" ] || {{ echo "no image in $image" >&2; exit 1; }}
  $real $global create --bundle "$bundle" --pid-file "$pid" "$id" && $real $global start "$id"
fi
"""


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    runtime = tmp_path_factory.mktemp("runtime") / "frozen"
    real = find_programs(["runc", "crun"])
    program = real.get("runc") or real["crun"]
    runtime.write_text(RUNTIME.format(real=program, fails=runtime.with_name("fails")))
    runtime.chmod(0o755)
    engine: Any = TestEngine("--experimental", "--add-runtime", f"frozen={runtime}")
    engine.start()
    engine.load_image()
    engine.fails = runtime.with_name("fails")
    yield engine
    engine.close()


@pytest.fixture
def container(engine):
    yield engine.run("sleep", "600", host={"Runtime": "frozen", "NetworkMode": "none"})
    engine.remove_all()


def checkpoint(engine, container: str, name: str = "one", **body: object):
    return engine.api.post(f"/containers/{container}/checkpoints", {"CheckpointID": name, **body})


def test_a_container_keeps_running_after_its_checkpoint(engine, container):
    assert checkpoint(engine, container).status == 201
    assert engine.inspect(container)["State"]["Running"]
    assert checkpoint(engine, container, "two").status == 201
    found = engine.api.get(f"/containers/{container}/checkpoints").json
    assert found == [{"Name": "one"}, {"Name": "two"}]
    answer = checkpoint(engine, container)
    assert answer.status == 409
    assert "checkpoint with name one already exists" in answer.message
    assert engine.api.delete(f"/containers/{container}/checkpoints/one").status == 204
    answer = engine.api.delete(f"/containers/{container}/checkpoints/one")
    assert answer.status == 404
    assert answer.message.startswith("checkpoint one does not exist for container")


def test_an_ended_container_is_restored_from_its_checkpoint(engine, container, tmp_path):
    answer = checkpoint(engine, container, Exit=True, CheckpointDir=str(tmp_path))
    assert answer.status == 201, answer.body
    assert (tmp_path / "one/inventory.img").read_text().strip() == container
    eventually(lambda: not engine.inspect(container)["State"]["Running"])
    target = f"/containers/{container}/start?checkpoint=one&checkpoint-dir={tmp_path}"
    answer = engine.api.post(target)
    assert answer.status == 204, answer.body
    state = engine.inspect(container)["State"]
    assert state["Running"]
    assert Path(f"/proc/{state['Pid']}").exists()
    assert engine.api.post(f"/containers/{container}/stop?t=0").status == 204
    assert engine.api.post(f"/containers/{container}/start?checkpoint=none").status == 404
    assert engine.api.post(f"/containers/{container}/start").status == 204


def test_invalid_requests_are_refused(engine, container):
    for name in ("", "a", "../x", "x.", "a/b"):
        answer = checkpoint(engine, container, name)
        assert answer.status == 400
        assert "invalid checkpoint ID" in answer.message
    assert checkpoint(engine, container, CheckpointDir="relative").status == 400
    engine.api.post(f"/containers/{container}/kill")
    engine.wait(container)
    answer = checkpoint(engine, container)
    assert (answer.status, answer.message) == (409, f"container {container} is not running")
    listing = engine.api.get(f"/containers/{container}/checkpoints?dir=/no/where")
    assert listing.status == 404
    assert engine.api.get(f"/containers/{container}/checkpoints").json == []


def test_a_failed_checkpoint_leaves_nothing_behind(engine, container):
    engine.fails.touch()
    answer = checkpoint(engine, container)
    engine.fails.unlink()
    assert answer.status == 500
    assert answer.message.startswith(f"Cannot checkpoint container {container}: ")
    assert "criu failed" in answer.message
    assert engine.api.get(f"/containers/{container}/checkpoints").json == []
    assert engine.inspect(container)["State"]["Running"]


def test_without_the_experimental_mode_there_are_none(shared_engine):
    container = shared_engine.create("sleep", "600")
    for answer in (
        shared_engine.api.get(f"/containers/{container}/checkpoints"),
        checkpoint(shared_engine, container),
        shared_engine.api.delete(f"/containers/{container}/checkpoints/one"),
    ):
        assert answer.status == 501
        assert "experimental feature is disabled by default" in answer.message
    answer = shared_engine.api.post(f"/containers/{container}/start?checkpoint=one")
    assert (answer.status, answer.message) == (
        400, "checkpoint is only supported in experimental mode",
    )  # fmt: skip
    shared_engine.remove(container)
