"""The lifecycle of containers: statuses and messages that clients match on, and inspect."""

import re
import time

import pytest


pytestmark = pytest.mark.root

SLEEP = ("sleep", "600")


LOOP = "echo ready; while :; do sleep 0.05; done"


def state(engine, container):
    return engine.inspect(container)["State"]


def run_trap(engine, traps, **config):
    """Run a container until its signal handlers are set: init ignores other signals."""
    container = engine.run("sh", "-c", f"{traps}; {LOOP}", **config)
    ready(engine, container)
    return container


def ready(engine, container):
    target = f"/containers/{container}/logs?stdout=1&tail=1&since="
    target += engine.inspect(container)["State"]["StartedAt"]
    deadline = time.monotonic() + 10
    while b"ready" not in engine.api.get(target).body:
        assert time.monotonic() < deadline
        time.sleep(0.02)


# ---- create ------------------------------------------------------------------------


def test_names(engine):
    first = engine.api.post("/containers/create?name=/one", {"Image": "busybox"})
    assert first.status == 201
    assert first.json["Warnings"] == []
    assert re.fullmatch(r"[0-9a-f]{64}", first.json["Id"])
    assert engine.inspect("one")["Name"] == "/one"
    taken = engine.api.post("/containers/create?name=one", {"Image": "busybox"})
    assert taken.status == 409
    assert taken.message == (
        f'Conflict. The container name "/one" is already in use by container'
        f' "{first.json["Id"]}". You have to remove (or rename) that container to be able to'
        " reuse that name."
    )
    bad = engine.api.post("/containers/create?name=a/b", {"Image": "busybox"})
    assert (bad.status, bad.message) == (
        400,
        "Invalid container name (a/b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
    )
    anonymous = engine.create("true")
    assert re.fullmatch(r"/[a-z]+_[a-z]+\d?", engine.inspect(anonymous)["Name"])


def test_a_name_is_free_again_after_a_failed_create(engine):
    for _ in range(2):
        answer = engine.api.post("/containers/create?name=xx", {"Image": "absent"})
        assert (answer.status, answer.message) == (404, "No such image: absent:latest")
    engine.create("true", name="xx")


def test_a_container_is_found_by_the_beginning_of_its_id(engine):
    container = engine.create("true", name="one")
    for reference in (container, container[:12], container[:4], "one"):
        assert engine.inspect(reference)["Id"] == container
    answer = engine.api.get("/containers/none/json")
    assert (answer.status, answer.message) == (404, "No such container: none")


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        (
            "linux/riscv64", 404,
            ("image with reference busybox:latest was found but does not provide the specified"
            " platform (linux/riscv64)"),
        ),
        ("a/b/c/d", 400, '"a/b/c/d": cannot parse platform specifier: invalid argument'),
    ],
)  # fmt: skip
def test_the_platform_must_be_there(engine, query, status, message):
    answer = engine.api.post(f"/containers/create?platform={query}", {"Image": "busybox:latest"})
    assert (answer.status, answer.message) == (status, message)


@pytest.mark.parametrize(
    ("host", "status", "message"),
    [
        (
            {"Links": ["absent:x"]}, 400,
            "could not get container for absent: No such container: absent",
        ),
        ({"VolumesFrom": ["absent"]}, 400, "No such container: absent"),
        ({"PidMode": "container:absent"}, 400, "No such container: absent"),
        ({"IpcMode": "container:absent"}, 400, "No such container: absent"),
        (
            {"Binds": ["named:/x"], "VolumeDriver": "bogus"}, 404,
            'create named: error looking up volume plugin bogus: plugin "bogus" not found',
        ),
    ],
)  # fmt: skip
def test_referenced_objects_must_exist(engine, host, status, message):
    answer = engine.api.post("/containers/create", {"Image": "busybox", "HostConfig": host})
    assert (answer.status, answer.message) == (status, message)
    assert engine.api.get("/containers/json?all=1").json == []


def test_inspect_leaves_out_what_was_given_empty(engine):
    container = engine.create(
        "true", host={"StorageOpt": {}, "Sysctls": {}}, OnBuild=[], ArgsEscaped=False, Shell=[]
    )
    shown = engine.inspect(container)
    assert not {"StorageOpt", "Sysctls"} & shown["HostConfig"].keys()
    assert not {"OnBuild", "ArgsEscaped", "Shell", "MacAddress"} & shown["Config"].keys()
    assert shown["Config"]["Entrypoint"] is None
    assert shown["Config"]["Cmd"] == ["true"]


# ---- start and its failures -----------------------------------------------------------


def test_from_created_to_exited(engine):
    container = engine.create("sh", "-c", "exit 7")
    created = engine.inspect(container)
    assert created["State"]["Status"] == "created"
    assert created["State"]["StartedAt"] == "0001-01-01T00:00:00Z"
    assert created["NetworkSettings"]["Networks"]["bridge"]["NetworkID"] == ""
    assert (created["HostnamePath"], created["Path"], created["Args"]) == (
        "", "sh", ["-c", "exit 7"]
    )  # fmt: skip
    assert engine.api.post(f"/containers/{container}/start").status == 204
    assert engine.wait(container) == 7
    exited = engine.inspect(container)
    assert exited["State"] == {
        "Status": "exited", "Running": False, "Paused": False, "Restarting": False,
        "OOMKilled": False, "Dead": False, "Pid": 0, "ExitCode": 7, "Error": "",
        "StartedAt": exited["State"]["StartedAt"], "FinishedAt": exited["State"]["FinishedAt"],
    }  # fmt: skip
    assert exited["State"]["StartedAt"] < exited["State"]["FinishedAt"]
    assert len(exited["NetworkSettings"]["Networks"]["bridge"]["NetworkID"]) == 64
    assert exited["NetworkSettings"]["Networks"]["bridge"]["IPAddress"] == ""


def test_running(engine):
    container = engine.run(*SLEEP, name="run")
    shown = engine.inspect(container)
    assert shown["State"]["Running"] is True
    assert shown["State"]["Pid"] > 1
    bridge = shown["NetworkSettings"]["Networks"]["bridge"]
    assert bridge["IPAddress"]
    assert bridge["MacAddress"]
    assert shown["Config"]["Hostname"] == container[:12]
    again = engine.api.post("/containers/run/start")
    assert (again.status, again.body) == (304, b"")


def test_start_takes_no_configuration(engine):
    container = engine.create("true")
    answer = engine.api.post(f"/containers/{container}/start", {"Binds": ["/tmp:/x"]})
    assert (answer.status, answer.message) == (
        400,
        (
            "starting container with non-empty request body was deprecated since API v1.22 and"
            " removed in v1.24"
        ),
    )
    assert state(engine, container)["Status"] == "created"
    assert engine.api.post(f"/containers/{container}/start", {}).status == 204


def test_an_absent_program(engine):
    container = engine.create("/absent")
    answer = engine.api.post(f"/containers/{container}/start")
    assert answer.status == 400
    assert answer.message.startswith(
        "failed to create task for container: failed to create shim task: OCI runtime create failed"
    )
    assert "/absent" in answer.message
    after = state(engine, container)
    assert (after["Status"], after["ExitCode"]) == ("created", 127)
    assert after["Error"] == answer.message


def test_a_directory_is_no_program(engine):
    container = engine.create("/tmp")
    answer = engine.api.post(f"/containers/{container}/start")
    assert answer.status == 400
    assert state(engine, container)["ExitCode"] == 126


def test_an_absent_user(engine):
    container = engine.create("true", User="nobody-here")
    answer = engine.api.post(f"/containers/{container}/start")
    assert (answer.status, answer.message) == (
        400,
        "unable to find user nobody-here: no matching entries in passwd file",
    )


def test_a_failed_start_can_be_repeated(engine):
    container = engine.create("sleep", "600", host={"PidMode": ""}, WorkingDir="/")
    blocker = engine.run(*SLEEP, host={"PortBindings": {"80/tcp": [{"HostPort": "18466"}]}})
    wanting = engine.create(*SLEEP, host={"PortBindings": {"80/tcp": [{"HostPort": "18466"}]}})
    answer = engine.api.post(f"/containers/{wanting}/start")
    assert answer.status == 500
    assert answer.message.endswith("failed: port is already allocated")
    engine.remove(blocker)
    assert engine.api.post(f"/containers/{wanting}/start").status == 204
    assert state(engine, wanting)["Error"] == ""
    assert engine.api.post(f"/containers/{container}/start").status == 204


# ---- stop, kill, restart ----------------------------------------------------------------


def test_stop(engine):
    trapping = run_trap(engine, "trap 'exit 3' TERM")
    assert engine.api.post(f"/containers/{trapping}/stop").status == 204
    assert state(engine, trapping)["ExitCode"] == 3
    again = engine.api.post(f"/containers/{trapping}/stop")
    assert (again.status, again.body) == (304, b"")


def test_stop_kills_in_the_end(engine):
    deaf = engine.run(*SLEEP)
    assert engine.api.post(f"/containers/{deaf}/stop?t=0").status == 204
    assert state(engine, deaf)["ExitCode"] == 137


def test_stop_with_the_containers_own_signal_and_patience(engine):
    traps = "trap 'exit 4' USR1; trap 'exit 5' TERM"
    own = run_trap(engine, traps, StopSignal="SIGUSR1", StopTimeout=20)
    assert engine.api.post(f"/containers/{own}/stop").status == 204
    assert state(engine, own)["ExitCode"] == 4
    asked = run_trap(engine, traps, StopSignal="SIGUSR1")
    assert engine.api.post(f"/containers/{asked}/stop?signal=TERM").status == 204
    assert state(engine, asked)["ExitCode"] == 5


def test_stop_of_a_paused_container_wakes_it(engine):
    container = run_trap(engine, "trap 'exit 3' TERM")
    assert engine.api.post(f"/containers/{container}/pause").status == 204
    assert engine.api.post(f"/containers/{container}/stop?t=8").status == 204
    assert state(engine, container)["ExitCode"] == 3


@pytest.mark.parametrize(
    ("target", "status", "message"),
    [
        ("absent/stop", 404, "No such container: absent"),
        ("run/stop?signal=BOGUS", 400, "cannot stop container: run: invalid signal: BOGUS"),
        ("run/stop?t=soon", 400, 'strconv.Atoi: parsing "soon": invalid syntax'),
        ("absent/restart", 404, "No such container: absent"),
        ("absent/kill", 404, "cannot kill container: absent: No such container: absent"),
        ("run/kill?signal=BOGUS", 400, "cannot kill container: run: invalid signal: BOGUS"),
        ("run/kill?signal=0", 400, "cannot kill container: run: invalid signal: 0"),
        ("absent/pause", 404, "No such container: absent"),
        ("run/unpause", 500, "Container {id} is not paused"),
        ("run/rename?name=run", 400,
         "Renaming a container with the same name as its current name"),
        ("run/rename", 400, "Neither old nor new names may be empty"),
        ("run/rename?name=bad%20name", 400,
         ("Error when allocating new name: Invalid container name (/bad name), only"
         " [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")),
        ("made/pause", 409, "container {made} is not running"),
        ("made/kill", 409, "cannot kill container: made: container {made} is not running"),
        ("made/resize?h=1&w=1", 409, "container {made} is not running"),
        ("made/wait?condition=bogus", 400, 'invalid condition: "bogus"'),
    ],
)  # fmt: skip
def test_refusals(shared_engine, refusing, target, status, message):
    answer = shared_engine.api.post(f"/containers/{target}")
    assert (answer.status, answer.message) == (status, message.format(**refusing))


@pytest.fixture(scope="module")
def refusing(shared_engine):
    """Yield an engine with a running container ``run`` and a created one ``made``."""
    yield {
        "id": shared_engine.run(*SLEEP, name="run"),
        "made": shared_engine.create("true", name="made"),
    }
    shared_engine.remove_all()


def test_kill(engine):
    container = run_trap(engine, "trap 'exit 9' HUP")
    for harmless in ("SIGURG", "winch", "28"):
        assert engine.api.post(f"/containers/{container}/kill?signal={harmless}").status == 204
    assert state(engine, container)["Running"] is True
    assert engine.api.post(f"/containers/{container}/kill?signal=HUP").status == 204
    assert engine.wait(container) == 9
    engine.api.post(f"/containers/{container}/start")
    assert engine.api.post(f"/containers/{container}/kill").status == 204
    assert state(engine, container)["ExitCode"] == 137, "answered once it is dead"


def test_restart(engine):
    container = engine.run(*SLEEP)
    pid = state(engine, container)["Pid"]
    assert engine.api.post(f"/containers/{container}/restart?t=0").status == 204
    after = state(engine, container)
    assert after["Running"] is True
    assert after["Pid"] != pid
    engine.api.post(f"/containers/{container}/kill")
    assert engine.api.post(f"/containers/{container}/restart").status == 204, "starts it, too"
    assert state(engine, container)["Running"] is True


# ---- pause, rename ------------------------------------------------------------------------


def test_pause(engine):
    container = engine.run(*SLEEP, name="paused")
    assert engine.api.post("/containers/paused/pause").status == 204
    paused = state(engine, container)
    assert (paused["Status"], paused["Running"], paused["Paused"]) == ("paused", True, True)
    again = engine.api.post("/containers/paused/pause")
    assert (again.status, again.message) == (409, f"container {container} is already paused")
    start = engine.api.post("/containers/paused/start")
    assert (start.status, start.message) == (
        409,
        "cannot start a paused container, try unpause instead",
    )
    remove = engine.api.delete("/containers/paused")
    assert (remove.status, remove.message) == (
        409,
        'cannot remove container "paused": container is paused and must be unpaused first',
    )
    [line] = engine.api.get('/containers/json?filters={"status":["paused"]}').json
    assert line["Status"].endswith("(Paused)")
    assert engine.api.post("/containers/paused/unpause").status == 204
    assert state(engine, container)["Status"] == "running"
    engine.api.post("/containers/paused/pause")
    assert engine.api.delete("/containers/paused?force=1").status == 204


def test_rename(engine):
    container = engine.create("true", name="old")
    engine.create("true", name="other")
    taken = engine.api.post("/containers/old/rename?name=other")
    assert taken.status == 409
    assert taken.message.startswith(
        'Error when allocating new name: Conflict. The container name "/other" is already in use'
    )
    assert engine.api.post("/containers/old/rename?name=new").status == 204
    assert engine.inspect("new")["Id"] == container
    assert engine.api.get("/containers/old/json").status == 404
    engine.create("true", name="old")


# ---- remove ---------------------------------------------------------------------------------


def test_remove(engine):
    running = engine.run(*SLEEP, name="rem")
    answer = engine.api.delete("/containers/rem")
    assert (answer.status, answer.message) == (
        409,
        (
            'cannot remove container "rem": container is running: stop the container before'
            " removing or force remove"
        ),
    )
    assert engine.api.delete("/containers/rem?force=1").status == 204
    assert engine.api.get(f"/containers/{running}/json").status == 404
    absent = engine.api.delete("/containers/rem")
    assert (absent.status, absent.message) == (404, "No such container: rem")


def test_volumes_go_with_it_only_when_asked(engine):
    body = {"Volumes": {"/anonymous": {}}, "host": {"Binds": ["kept:/kept"]}}
    names = []
    for query in ("", "?v=1"):
        container = engine.create("true", **body)
        mounts = {m["Destination"]: m for m in engine.inspect(container)["Mounts"]}
        names.append(mounts["/anonymous"]["Name"])
        assert mounts["/kept"]["Name"] == "kept"
        assert engine.api.delete(f"/containers/{container}{query}").status == 204
    assert engine.api.get(f"/volumes/{names[0]}").status == 200
    assert engine.api.get(f"/volumes/{names[1]}").status == 404
    assert engine.api.get("/volumes/kept").status == 200
    for name in (names[0], "kept"):
        assert engine.api.delete(f"/volumes/{name}").status == 204


def test_prune(engine):
    running = engine.run(*SLEEP)
    ended = engine.run("sh", "-c", "echo 12345 > /file")
    engine.wait(ended)
    labelled = engine.create("true", Labels={"keep": "me"})
    answer = engine.api.post('/containers/prune?filters={"label!":["keep"],"until":["1h"]}')
    assert answer.json == {"ContainersDeleted": None, "SpaceReclaimed": 0}
    answer = engine.api.post('/containers/prune?filters={"label!":["keep"]}').json
    assert answer["ContainersDeleted"] == [ended]
    assert answer["SpaceReclaimed"] >= 6
    left = {line["Id"] for line in engine.api.get("/containers/json?all=1").json}
    assert left == {running, labelled}


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ('{"bogus":["x"]}', "invalid filter 'bogus'"),
        ('{"until":["1h","2h"]}', "more than one until filter specified"),
    ],
)
def test_prune_refuses(engine, filters, message):
    answer = engine.api.post(f"/containers/prune?filters={filters}")
    assert (answer.status, answer.message) == (400, message)


# ---- the working directory --------------------------------------------------------


def test_a_create_makes_the_working_directory(own_engine):
    engine = own_engine
    setup = engine.run("sh", "-c", "mkdir -m 700 /there; ln -s /home /link; : > /file")
    engine.wait(setup)
    assert engine.api.post(f"/commit?container={setup}&repo=dirs").status == 201
    for path in ("/home/foo/bar", "/link/sub", "/there"):
        container = engine.create("stat", "-c", "%a %u", ".", Image="dirs", WorkingDir=path)
        head = engine.api.call("HEAD", f"/containers/{container}/archive?path={path}")
        assert head.status == 200, path
    made = sorted(p.name for p in (engine.data_root / "containers").glob("*/diff/home/*"))
    assert made == ["foo", "sub"]
    assert engine.output("stat", "-c", "%a %u", ".", Image="dirs", WorkingDir="/x/y") == "755 0\n"
    assert engine.output("stat", "-c", "%a %u", ".", Image="dirs", WorkingDir="/there") == "700 0\n"
    for path in ("/file", "/file/x"):
        body = {"Image": "dirs", "Cmd": ["true"], "WorkingDir": path}
        answer = engine.api.post("/containers/create", body)
        assert answer.status == 400
        assert answer.message == f"Cannot mkdir: {path} is not a directory"
    assert not list((engine.data_root / "tmp").iterdir())
    assert not list((engine.exec_root / "merged").iterdir())
