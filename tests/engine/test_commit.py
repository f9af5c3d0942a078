"""Commit, changes and export: a container's changes of its image's files."""

import contextlib
import http.client
import io
import json
import tarfile
import threading
import time
from typing import Any
from urllib.parse import quote

import pytest
from tests.support.crash import eventually
from tests.support.engine import TestEngine
from tests.support.http import UnixConnection


pytestmark = pytest.mark.root

CHANGES = """
echo new > /etc/new
rm /bin/ls
rm -r /home && mkdir /home && echo inside > /home/inside
mkdir -p /deep/er && ln /etc/new /deep/er/link
chmod 4750 /bin/busybox.copy 2>/dev/null
cat /bin/cat >> /dev/null
"""


def run(engine: TestEngine, script: str, **config: Any) -> str:
    container = engine.run("sh", "-c", script, **config)
    engine.wait(container)
    return container


def changes(engine: TestEngine, container: str) -> Any:
    answer = engine.api.get(f"/containers/{container}/changes")
    assert answer.status == 200, answer.body
    return answer.json and {(c["Path"], c["Kind"]) for c in answer.json}


def exported(engine: TestEngine, container: str) -> dict[str, tarfile.TarInfo]:
    answer = engine.api.get(f"/containers/{container}/export")
    assert answer.status == 200, answer.body
    with tarfile.open(fileobj=io.BytesIO(answer.body)) as archive:
        return {member.name: member for member in archive}


def commit(engine: TestEngine, container: str, query: str = "", body: Any = None) -> str:
    answer = engine.api.post(f"/commit?container={container}&{query}", body)
    assert answer.status == 201, answer.body
    return str(answer.json["Id"])


def image(engine: TestEngine, name: str) -> Any:
    answer = engine.api.get(f"/images/{name}/json")
    assert answer.status == 200, answer.body
    return answer.json


# ---- changes and export -----------------------------------------------------------


def test_changes_are_what_the_container_did_and_nothing_of_the_runtime(engine):
    untouched = run(engine, "true")
    assert changes(engine, untouched) is None
    container = run(engine, CHANGES)
    assert changes(engine, container) == {
        ("/etc", 0), ("/etc/new", 1),
        ("/bin", 0), ("/bin/ls", 2),
        ("/home", 0), ("/home/inside", 1),
        ("/deep", 1), ("/deep/er", 1), ("/deep/er/link", 1),
    }  # fmt: skip
    assert engine.api.get("/containers/absent/changes").status == 404


def test_changes_of_a_running_container_and_below_many_layers(engine):
    name = "busybox:latest"
    for number in range(4):
        container = run(engine, f"echo {number} > /layer{number}; rm -f /layer{number - 2}")
        name = commit(engine, container)
        engine.remove(container)
        container = engine.create("true", Image=name)
        engine.remove(container)
    container = engine.run("sh", "-c", "echo > /layer3; rm /bin/vi; sleep 60", Image=name)
    eventually(lambda: changes(engine, container) == {("/layer3", 0), ("/bin", 0), ("/bin/vi", 2)})


@pytest.mark.parametrize("state", ["created", "running", "exited"])
def test_export_has_all_files_but_those_of_volumes(engine, state):
    container = engine.create(
        "sh",
        "-c",
        "echo x > /made; echo y > /vol/hidden; sleep 60",
        host={"Binds": ["export:/vol"]},
    )
    try:
        if state != "created":
            assert engine.api.post(f"/containers/{container}/start").status == 204
            eventually(lambda: ("/made", 1) in (changes(engine, container) or ()))
        if state == "exited":
            assert engine.api.post(f"/containers/{container}/stop?t=0").status == 204
        members = exported(engine, container)
        assert members["bin/busybox"].size > 100_000
        assert members["bin/sh"].issym() or members["bin/sh"].islnk()
        assert {"proc", "sys", "dev", "etc/hosts", ".dockerenv"} <= members.keys()
        assert ("made" in members) == (state != "created")
        assert "vol/hidden" not in members
    finally:
        engine.remove(container)
        engine.api.delete("/volumes/export")
    assert not list((engine.exec_root / "merged").iterdir())
    assert engine.api.get("/containers/absent/export").status == 404


def test_a_client_that_leaves_an_export_leaves_nothing(engine):
    container = run(engine, "dd if=/dev/zero of=/big bs=1M count=40 2>/dev/null")
    connection = UnixConnection(engine.socket)
    connection.request("GET", f"/containers/{container}/export")
    assert connection.getresponse().read(1000)
    connection.close()
    eventually(lambda: not list((engine.exec_root / "merged").iterdir()))


# ---- commit -----------------------------------------------------------------------


def test_a_committed_image_has_what_the_container_had(engine):
    container = run(engine, CHANGES)
    commit(engine, container, "repo=test/committed&tag=1")
    shown = engine.output(
        "sh", "-c",
        "cat /etc/new /home/*; ls /bin/ls; stat -c %h,%i /etc/new /deep/er/link | uniq; ls /deep",
        Image="test/committed:1",
    )  # fmt: skip
    lines = shown.splitlines()
    assert lines[:2] == ["new", "inside"]
    assert "ls: /bin/ls: No such file or directory" in lines
    # One hard link: the same inode twice.
    assert lines[-2].startswith("2,")
    assert lines[-1] == "er"
    assert engine.api.delete("/images/test/committed:1").status == 200


def test_the_configuration_is_the_containers_what_is_asked_for_and_the_changes(engine):
    container = engine.create(
        "sleep", "9", Env=["A=1", "B=2"], Labels={"old": "1", "both": "old"}, WorkingDir="/tmp",
        ExposedPorts={"80/tcp": {}}, Volumes={"/v": {}}, User="1:1", StopSignal="SIGINT",
    )  # fmt: skip
    changes = (
        'ENTRYPOINT ["/bin/echo"]', "ENV C=3", "EXPOSE 81/udp", "VOLUME /w", "USER 2",
        "WORKDIR sub", "LABEL both=new", "STOPSIGNAL SIGTERM", "ONBUILD RUN x",
        "HEALTHCHECK --interval=3s CMD true",
    )  # fmt: skip
    query = "&".join(f"changes={text}" for text in changes).replace(" ", "%20").replace('"', "%22")
    name = commit(
        engine,
        container,
        f"author=Me&comment=why&{query}",
        {"Env": ["B=body"], "Labels": {"n": "1"}},
    )
    found = image(engine, name)
    assert found["Author"] == "Me"
    assert found["Comment"] == "why"
    assert found["Parent"] == engine.inspect(container)["Image"]
    config = found["Config"]
    assert config["Env"] == ["B=body", "C=3", "A=1"]
    assert config["Entrypoint"] == ["/bin/echo"]
    # The container's command was for another entrypoint.
    assert not config.get("Cmd")
    assert config["Labels"] == {"old": "1", "both": "new", "n": "1"}
    assert config["WorkingDir"] == "/sub"
    assert config["User"] == "2"
    assert config["StopSignal"] == "SIGTERM"
    assert config["OnBuild"] == ["RUN x"]
    assert set(config["ExposedPorts"]) == {"80/tcp", "81/udp"}
    assert set(config["Volumes"]) == {"/v", "/w"}
    assert config["Healthcheck"] == {"Test": ["CMD-SHELL", "true"], "Interval": 3_000_000_000}
    history = engine.api.get(f"/images/{name}/history").json
    assert history[0]["CreatedBy"] == "sleep 9"
    assert history[0]["Comment"] == "why"
    assert history[0]["Size"] == 0
    # No file was changed, so the image has no layer for it.
    assert len(found["RootFS"]["Layers"]) == len(
        image(engine, "busybox:latest")["RootFS"]["Layers"]
    )


def test_a_running_container_is_paused_unless_disabled(engine):
    container = engine.run(
        "sh", "-c", "dd if=/dev/urandom of=/big bs=1M count=30 2>/dev/null; touch /ready; sleep 60"
    )
    eventually(lambda: ("/ready", 1) in (changes(engine, container) or ()))
    first = commit(engine, container)
    second = commit(engine, container, "pause=0")
    state = engine.inspect(container)["State"]
    assert state["Status"] == "running"
    # The same files make the same layer, which is stored once.
    assert image(engine, first)["RootFS"] == image(engine, second)["RootFS"]
    filters = quote(json.dumps({"container": [container]}))
    target = f"/events?since=0&until={int(time.time()) + 1}&filters={filters}"
    events = engine.api.get(target).body
    actions = [json.loads(line)["Action"] for line in events.splitlines()]
    assert actions[-5:] == ["start", "pause", "unpause", "commit", "commit"]


def test_a_container_paused_by_a_client_stays_paused(engine):
    container = engine.run("sleep", "60")
    assert engine.api.post(f"/containers/{container}/pause").status == 204
    commit(engine, container)
    assert engine.inspect(container)["State"]["Status"] == "paused"
    assert engine.api.post(f"/containers/{container}/unpause").status == 204


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ("", 400, 'invalid name or ID supplied: ""'),
        ("container=absent", 404, "No such container: absent"),
        ("container={id}&repo=UPPER", 400, "must be lowercase"),
        ("container={id}&repo=x&tag=a%20b", 400, "invalid tag format"),
        ("container={id}&repo=x@sha256:" + 64 * "0", 400, "cannot import digest reference"),
        ("container={id}&changes=RUN%20x", 400, "RUN is not a valid change command"),
        ("container={id}&changes=EXPOSE%20x", 400, "invalid containerPort: x"),
    ],
)
def test_mistakes(engine, query, status, message):
    container = engine.create("true")
    before = engine.api.get("/images/json?all=1").json
    answer = engine.api.post(f"/commit?{query.replace('{id}', container)}")
    assert answer.status == status, answer.body
    assert message in answer.json["message"]
    assert engine.api.get("/images/json?all=1").json == before


def test_a_container_whose_image_was_removed_by_force_can_be_committed(engine):
    container = run(engine, "echo first > /first")
    commit(engine, container, "repo=test/gone")
    user = run(engine, "echo second > /second", Image="test/gone")
    gone = engine.api.get("/images/test/gone/json").json["Id"]
    assert engine.api.delete(f"/images/{gone}?force=1").status == 200
    assert engine.api.get(f"/images/{gone}/json").status == 404
    name = commit(engine, user, "repo=test/again")
    engine.remove(user)
    assert engine.output("cat", "/first", "/second", Image=name) == "first\nsecond\n"
    archive = engine.api.get("/images/test/again/get").body
    assert engine.api.delete("/images/test/again").status == 200
    # The archive has all files, although the container's image has been removed.
    assert b"Loaded image: test/again:latest" in engine.api.post("/images/load", archive).body
    assert engine.api.delete("/images/test/again").status == 200


def test_an_engine_killed_in_the_middle_of_a_commit_leaves_nothing(own_engine):
    engine = own_engine
    container = engine.run(
        "sh", "-c", "dd if=/dev/zero of=/big bs=1M count=150 2>/dev/null; touch /ready; sleep 600"
    )
    eventually(lambda: ("/ready", 1) in (changes(engine, container) or ()), 30)
    before = engine.api.get("/images/json?all=1").json

    def try_to_commit() -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            engine.api.post(f"/commit?container={container}&repo=half")

    thread = threading.Thread(target=try_to_commit)
    thread.start()
    eventually(lambda: list((engine.data_root / "tmp").glob("images-*/layer")))
    engine.kill()
    thread.join()
    engine.start()
    assert engine.api.get("/images/json?all=1").json == before
    assert engine.inspect(container)["State"]["Status"] == "running"
    eventually(lambda: not list((engine.data_root / "tmp").iterdir()))
    # The container keeps running, and can be committed later.
    assert engine.api.post(f"/containers/{container}/stop?t=0").status == 204
    commit(engine, container, "repo=whole")
