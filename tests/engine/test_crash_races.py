"""Many clients of one container: no 500, no hang, and a consistent final state."""

import http.client
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.support.crash import (
    assert_quiet_log,
    assert_same_footprint,
    baseline,
    eventually,
    processes_of,
)


pytestmark = pytest.mark.root

EXPECTED = {200, 201, 204, 304, 400, 404, 409}
FOREVER = "trap 'exit 0' TERM; while :; do sleep 0.05; done"


@pytest.fixture
def engine(shared_engine):
    before = baseline(shared_engine)
    shared_engine.log.write_bytes(b"")
    yield shared_engine
    shared_engine.remove_all()
    assert_same_footprint(shared_engine, before)
    assert_quiet_log(shared_engine)


def together(*calls):
    """Make calls at the same moment, and return their responses in order."""
    barrier = threading.Barrier(len(calls))

    def run(call):
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result(60) for future in [pool.submit(run, call) for call in calls]]


def post(engine, target, body=None):
    return lambda: engine.api.post(target, body)


def statuses(answers):
    found = [answer.status for answer in answers]
    assert set(found) <= EXPECTED, [a.body for a in answers if a.status not in EXPECTED]
    return sorted(found)


def state(engine, container):
    return engine.inspect(container)["State"]["Status"]


def becomes(engine, container, *wanted):
    eventually(lambda: state(engine, container) in wanted, 5)


def restarts(engine, container):
    eventually(lambda: engine.inspect(container)["RestartCount"] > 2)


def test_one_start_of_many_is_the_one(engine):
    container = engine.create("sleep", "1000")
    answers = together(*[post(engine, f"/containers/{container}/start")] * 8)
    assert statuses(answers) == [204] + [304] * 7
    assert state(engine, container) == "running"


def test_many_stops_and_kills_all_come_back(engine):
    for _ in range(3):
        container = engine.run("sh", "-c", FOREVER)
        stop, kill = (post(engine, f"/containers/{container}/{w}") for w in ("stop", "kill"))
        found = statuses(together(stop, kill, stop, kill, stop, kill))
        assert found[:1] == [204]
        assert state(engine, container) == "exited"


def test_a_kill_gets_through_while_a_stop_is_patient(engine):
    container = engine.run("sh", "-c", "trap '' TERM; while :; do sleep 0.05; done")
    began = time.monotonic()
    with ThreadPoolExecutor() as pool:
        stop = pool.submit(post(engine, f"/containers/{container}/stop?t=30"))
        time.sleep(0.3)
        assert engine.api.post(f"/containers/{container}/kill").status == 204
        assert stop.result(10).status == 204
    assert time.monotonic() - began < 5


def test_one_removal_of_many_is_the_one(engine):
    for running in (True, False):
        container = engine.run("sleep", "1000") if running else engine.create("true")
        target = f"/containers/{container}?force=1&v=1"
        found = statuses(together(*[lambda target=target: engine.api.delete(target)] * 6))
        assert found.count(204) == 1
        assert set(found[1:]) <= {404, 409}
        assert engine.api.get(f"/containers/{container}/json").status == 404


def test_removal_and_start_at_the_same_time(engine):
    for _ in range(6):
        container = engine.create("sleep", "1000")
        target = f"/containers/{container}?force=1"
        statuses(
            together(
                post(engine, f"/containers/{container}/start"),
                lambda target=target: engine.api.delete(target),
                post(engine, f"/containers/{container}/start"),
            )
        )
        # The first removal wins; a forced one counts too.
        assert engine.api.get(f"/containers/{container}/json").status == 404
    assert not processes_of(engine)


def test_a_name_is_given_to_one_of_many(engine):
    body = {"Image": "busybox", "Cmd": ["true"]}
    answers = together(*[post(engine, "/containers/create?name=one", body)] * 6)
    assert statuses(answers) == [201] + [409] * 5
    others = [engine.create("true") for _ in range(4)]
    renames = [post(engine, f"/containers/{c}/rename?name=two") for c in others]
    assert statuses(together(*renames)) == [204] + [409] * 3


def test_renames_of_one_container_lose_no_name(engine):
    container = engine.create("true", name="start")
    names = [f"name{number}" for number in range(6)]
    answers = together(*[post(engine, f"/containers/{container}/rename?name={n}") for n in names])
    assert statuses(answers) == [204] * 6
    name = engine.inspect(container)["Name"].removeprefix("/")
    assert name in names
    for free in {"start", *names} - {name}:
        engine.create("true", name=free)


def test_a_crash_loop_can_be_stopped_and_removed(engine):
    for end in ("stop", "kill"):
        container = engine.run("false", host={"RestartPolicy": {"Name": "always"}})
        restarts(engine, container)
        answer = engine.api.delete(f"/containers/{container}")
        assert answer.status == 409
        assert engine.api.post(f"/containers/{container}/{end}").status == 204
        becomes(engine, container, "exited")
        count = engine.inspect(container)["RestartCount"]
        time.sleep(1)
        assert engine.inspect(container)["RestartCount"] == count
    container = engine.run("false", host={"RestartPolicy": {"Name": "always"}})
    restarts(engine, container)
    assert engine.api.delete(f"/containers/{container}?force=1").status == 204


def test_waits_come_back_whatever_happens(engine):
    container = engine.run("sh", "-c", FOREVER)
    with ThreadPoolExecutor() as pool:
        waits = [
            pool.submit(post(engine, f"/containers/{container}/wait?condition={condition}"))
            for condition in ("not-running", "next-exit", "removed")
        ]
        time.sleep(0.3)
        engine.api.delete(f"/containers/{container}?force=1")
        for wait in waits:
            answer = wait.result(10)
            assert (answer.status, answer.json["StatusCode"]) == (200, 137)


def test_anything_at_once(engine):
    """Clients do random operations on the same few containers."""
    policies = ("no", "no", "always", "on-failure")
    containers = [
        engine.create("sh", "-c", command, host={"RestartPolicy": {"Name": policy}})
        for policy, command in zip(
            policies, ("sleep 1000", FOREVER, FOREVER, "sleep 0.05; exit 1"), strict=True
        )
    ]
    deadline = time.monotonic() + 6
    strange = []

    def client(seed):
        choice = random.Random(seed)
        while time.monotonic() < deadline:
            container = choice.choice(containers)
            verb = choice.choice(
                ("start", "start", "start", "stop?t=0", "kill", "restart?t=0", "pause", "unpause",
                 f"rename?name=n{choice.randrange(50)}", "kill?signal=TERM", "resize?h=9&w=9")
            )  # fmt: skip
            try:
                answer = engine.api.post(f"/containers/{container}/{verb}", timeout=20)
            except (OSError, http.client.HTTPException) as error:
                strange.append((verb, error))
                return
            # dockerd also answers 500 if a container is not paused.
            if answer.status not in EXPECTED and "is not paused" not in answer.message:
                strange.append((verb, answer.body))
            engine.api.get("/containers/json?all=1")

    threads = [threading.Thread(target=client, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert not strange
    for container in containers:
        target = f"/containers/{container}"
        statuses([engine.api.post(f"{target}/kill")])
        becomes(engine, container, "exited", "created")
        assert engine.api.post(f"{target}/start").status == 204
        assert engine.api.delete(f"{target}?force=1").status == 204
