"""Health checks of real containers: results, events, and restarts of the engine."""

import json
import sqlite3
import time
from urllib.parse import quote

import pytest
from tests.support.crash import assert_quiet_log, eventually, killed, processes_of
from tests.support.image import busybox_tar


pytestmark = pytest.mark.root

MS = 10**6
FAST = {"Interval": 50 * MS, "Timeout": 5000 * MS}


def checked(engine, test, *command, host=None, **options):
    return engine.run(
        *(command or ("sleep", "600")), host=host, Healthcheck={"Test": test, **FAST, **options}
    )


def health(engine, container):
    return engine.inspect(container)["State"]["Health"]


def becomes(engine, container, status):
    eventually(lambda: health(engine, container)["Status"] == status)
    return health(engine, container)


def listed(engine, status):
    return engine.api.get(
        "/containers/json?filters=" + quote(json.dumps({"health": [status]}))
    ).json


def events(engine, container, since):
    until = time.time()
    answer = engine.api.get(
        f"/events?since={since}&until={until}&filters=%7B%22container%22:%5B%22{container}%22%5D%7D"
    )
    lines = [line for line in answer.body.decode().split("\n") if line]
    return [json.loads(line) for line in lines]


def test_a_container_becomes_healthy_and_says_so(engine):
    since = time.time()
    container = checked(engine, ["CMD-SHELL", "echo fine; echo bad >&2"])
    assert health(engine, container) == {"Status": "starting", "FailingStreak": 0, "Log": []}
    line = engine.api.get("/containers/json").json[0]
    assert line["Status"].endswith("(health: starting)")
    found = becomes(engine, container, "healthy")
    first = found["Log"][0]
    assert (first["ExitCode"], first["Output"]) == (0, "fine\nbad\n")
    assert first["Start"] < first["End"]
    (line,) = listed(engine, "healthy")
    assert line["Status"].endswith("(healthy)")
    assert line["Health"] == {"Status": "healthy", "FailingStreak": 0}
    assert listed(engine, "none") == []
    assert "Health" not in engine.api.at("1.51").get("/containers/json").json[0]
    seen = events(engine, container, since)
    actions = [event["Action"] for event in seen]
    command = "/bin/sh -c echo fine; echo bad >&2"
    start = actions.index("start")
    assert actions[start + 1 : start + 5] == [
        f"exec_create: {command}",
        f"exec_start: {command}",
        "exec_die",
        "health_status: healthy",
    ]
    ids = {e["Actor"]["Attributes"]["execID"] for e in seen[start + 1 : start + 4]}
    assert len(ids) == 1
    assert seen[start + 3]["Actor"]["Attributes"]["exitCode"] == "0"
    assert actions.count("health_status: healthy") == 1
    assert_quiet_log(engine)


def test_failures_make_it_unhealthy_and_a_success_healthy_again(engine):
    container = checked(engine, ["CMD", "test", "-e", "/tmp/well"], Retries=2)
    found = becomes(engine, container, "unhealthy")
    assert found["FailingStreak"] >= 2
    assert {entry["ExitCode"] for entry in found["Log"]} == {1}
    eventually(lambda: len(health(engine, container)["Log"]) == 5)
    created = engine.api.post(f"/containers/{container}/exec", {"Cmd": ["touch", "/tmp/well"]})
    engine.api.post(f"/exec/{created.json['Id']}/start", {"Detach": True})
    assert becomes(engine, container, "healthy")["FailingStreak"] == 0


def test_a_check_that_cannot_run_or_takes_too_long_has_failed(engine):
    absent = checked(engine, ["CMD", "/no/such/program"], Retries=1)
    slow = checked(
        engine, ["CMD-SHELL", "echo so far; exec sleep 300"], Retries=1, Timeout=200 * MS
    )
    loud = checked(engine, ["CMD-SHELL", "yes | head -c 5000; exit 3"], Retries=1)
    entry = becomes(engine, absent, "unhealthy")["Log"][0]
    assert entry["ExitCode"] == -1
    assert "/no/such/program" in entry["Output"]
    assert "no such file or directory" in entry["Output"]
    entry = becomes(engine, slow, "unhealthy")["Log"][0]
    assert entry["ExitCode"] == -1
    assert entry["Output"] == "Health check exceeded timeout (200ms): so far\n"
    entry = becomes(engine, loud, "unhealthy")["Log"][0]
    assert (entry["ExitCode"], entry["Output"]) == (3, "y\n" * 2048 + "...")
    engine.remove_all()
    eventually(lambda: not processes_of(engine))
    assert_quiet_log(engine)


def test_the_image_says_how_and_none_means_not_at_all(engine):
    changes = quote("HEALTHCHECK --interval=50ms CMD true")
    target = f"/images/create?fromSrc=-&repo=checked&tag=latest&changes={changes}"
    kind = {"Content-Type": "application/x-tar"}
    assert engine.api.post(target, busybox_tar(), headers=kind).status == 200
    try:
        inherits = engine.run("sleep", "600", Image="checked")
        assert engine.inspect(inherits)["Config"]["Healthcheck"]["Test"] == ["CMD-SHELL", "true"]
        becomes(engine, inherits, "healthy")
        slower = engine.run("sleep", "600", Image="checked", Healthcheck={"Retries": 7})
        assert engine.inspect(slower)["Config"]["Healthcheck"]["Retries"] == 7
        becomes(engine, slower, "healthy")
        disabled = engine.run("sleep", "600", Image="checked", Healthcheck={"Test": ["NONE"]})
        assert "Health" not in engine.inspect(disabled)["State"]
    finally:
        engine.remove_all()
        engine.api.delete("/images/checked")


def test_a_paused_or_stopped_container_is_not_checked(engine):
    container = checked(engine, ["CMD", "true"])
    becomes(engine, container, "healthy")
    assert engine.api.post(f"/containers/{container}/pause").status == 204
    paused = health(engine, container)
    assert paused["Status"] == "unhealthy"
    time.sleep(0.3)
    assert health(engine, container) == paused
    assert engine.api.get("/containers/json").json[0]["Status"].endswith("(Paused)")
    assert engine.api.post(f"/containers/{container}/unpause").status == 204
    becomes(engine, container, "healthy")
    assert engine.api.post(f"/containers/{container}/stop?t=0").status == 204
    stopped = health(engine, container)
    assert stopped["Status"] == "unhealthy"
    time.sleep(0.3)
    assert health(engine, container) == stopped
    assert engine.api.post(f"/containers/{container}/start").status == 204
    restarted = health(engine, container)
    assert (restarted["Status"], restarted["Log"]) == ("starting", stopped["Log"])
    becomes(engine, container, "healthy")
    assert_quiet_log(engine)


def test_checks_use_the_shell_user_and_directory_of_the_container(engine):
    container = engine.run(
        "sleep",
        "600",
        User="1000:1000",
        WorkingDir="/tmp",
        Env=["HELLO=world"],
        Healthcheck={"Test": ["CMD-SHELL", "id -u; pwd; echo $HELLO"], **FAST},
    )
    assert becomes(engine, container, "healthy")["Log"][0]["Output"] == "1000\n/tmp\nworld\n"


def test_checks_continue_with_the_next_engine(own_engine):
    engine = own_engine
    container = checked(engine, ["CMD-SHELL", "echo fine"])
    hangs = checked(engine, ["CMD", "sleep", "300"], Timeout=300_000 * MS)
    sick = checked(engine, ["CMD", "false"], Interval=3_600_000 * MS, Retries=1)
    becomes(engine, container, "healthy")
    before = health(engine, sick)
    eventually(lambda: engine.inspect(hangs)["ExecIDs"])
    running = len(processes_of(engine))
    with killed(engine):
        pass
    after = health(engine, container)
    assert after["Status"] == "healthy"
    assert after["Log"]
    last = after["Log"][-1]["End"]
    eventually(lambda: health(engine, container)["Log"][-1]["End"] > last)
    assert health(engine, sick) == before
    # The check that hung was killed, and the next one hangs instead.
    eventually(lambda: engine.inspect(hangs)["ExecIDs"])
    engine.remove(container)
    eventually(lambda: len(processes_of(engine)) <= running)
    assert_quiet_log(engine)


def test_rows_of_health_go_with_the_container(own_engine):
    container = checked(own_engine, ["CMD", "true"])
    becomes(own_engine, container, "healthy")
    own_engine.remove(container)
    again = checked(own_engine, ["CMD", "true"], Interval=3_600_000 * MS)
    with killed(own_engine):
        pass
    assert health(own_engine, again) == {"Status": "starting", "FailingStreak": 0, "Log": []}
    rows = sqlite3.connect(own_engine.config.paths.database).execute("SELECT id FROM health")
    assert [key for (key,) in rows] == [again]
