"""The end of containers: waiting, automatic removal and restart policies."""

import json
import threading
import time

import pytest


pytestmark = pytest.mark.root


class Waiter(threading.Thread):
    """A client of ``/wait``; the engine has received its request."""

    def __init__(self, engine, container, condition=""):
        super().__init__(daemon=True)
        query = f"?condition={condition}" if condition else ""
        _, self._sock = engine.api.hijack(f"/containers/{container}/wait{query}", upgrade=False)
        self.start()

    def run(self):
        data = b""
        while more := self._sock.recv(65536):
            data += more
            if data.endswith(b"0\r\n\r\n"):
                break
        self._sock.close()
        self.answer = json.loads(data.split(b"\r\n")[1])

    @property
    def status(self):
        self.join(10)
        assert not self.is_alive()
        assert "Error" not in self.answer
        return self.answer["StatusCode"]


def until(condition, seconds=15):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return value


def state(engine, container):
    return engine.inspect(container)["State"]


# ---- wait ------------------------------------------------------------------------------


@pytest.mark.parametrize("condition", ["", "not-running"])
def test_not_running_is_what_a_container_may_be_at_once(engine, condition):
    created = engine.create("sh", "-c", "exit 3")
    assert Waiter(engine, created, condition).status == 0
    engine.api.post(f"/containers/{created}/start")
    assert Waiter(engine, created, condition).status == 3
    assert Waiter(engine, created, condition).status == 3, "it has ended"


def test_next_exit_is_waited_for(engine):
    container = engine.create("sh", "-c", "exit 3")
    waiter = Waiter(engine, container, "next-exit")
    waiter.join(0.2)
    assert waiter.is_alive()
    engine.api.post(f"/containers/{container}/start")
    assert waiter.status == 3
    again = Waiter(engine, container, "next-exit")
    again.join(0.2)
    assert again.is_alive(), "an exit that was does not count"
    engine.api.post(f"/containers/{container}/start")
    assert again.status == 3


def test_removed(engine):
    container = engine.run("sh", "-c", "exit 4")
    waiter = Waiter(engine, container, "removed")
    engine.wait(container)
    waiter.join(0.1)
    assert waiter.is_alive()
    engine.remove(container)
    assert waiter.status == 4


def test_the_head_comes_at_once(engine):
    container = engine.run("sleep", "600")
    head, sock = engine.api.hijack(f"/containers/{container}/wait", upgrade=False)
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    sock.close()
    assert engine.api.get("/_ping").status == 200


def test_a_failed_start_ends_the_wait(engine):
    container = engine.create("/absent")
    waiter = Waiter(engine, container, "next-exit")
    assert engine.api.post(f"/containers/{container}/start").status == 400
    assert waiter.status == 127


def test_several_wait(engine):
    container = engine.create("sh", "-c", "exit 5")
    waiters = [Waiter(engine, container, "next-exit") for _ in range(5)]
    engine.api.post(f"/containers/{container}/start")
    assert [waiter.status for waiter in waiters] == [5] * 5


def test_wait_of_nothing(engine):
    answer = engine.api.post("/containers/absent/wait")
    assert (answer.status, answer.message) == (404, "No such container: absent")


# ---- auto-remove -----------------------------------------------------------------------


def test_auto_remove(engine):
    container = engine.create(
        "sh", "-c", "exit 7", name="auto", host={"AutoRemove": True}, Volumes={"/data": {}}
    )
    [volume] = [mount["Name"] for mount in engine.inspect(container)["Mounts"]]
    next_exit = Waiter(engine, container, "next-exit")
    removed = Waiter(engine, container, "removed")
    engine.api.post(f"/containers/{container}/start")
    assert (next_exit.status, removed.status) == (7, 7)
    assert engine.api.get(f"/containers/{container}/json").status == 404
    assert engine.api.get(f"/volumes/{volume}").status == 404
    engine.create("true", name="auto")


def test_auto_remove_after_kill_and_stop(engine):
    for verb in ("kill", "stop?t=0"):
        container = engine.run("sleep", "600", host={"AutoRemove": True})
        removed = Waiter(engine, container, "removed")
        assert engine.api.post(f"/containers/{container}/{verb}").status == 204
        assert removed.status == 137


def test_auto_remove_of_what_could_not_start(engine):
    container = engine.create("/absent", host={"AutoRemove": True})
    removed = Waiter(engine, container, "removed")
    assert engine.api.post(f"/containers/{container}/start").status == 400
    assert removed.status == 127
    assert engine.api.get(f"/containers/{container}/json").status == 404


def test_auto_remove_and_force_remove_at_once(engine):
    for _ in range(5):
        container = engine.run("sleep", "0.05", host={"AutoRemove": True})
        time.sleep(0.05)
        answer = engine.api.delete(f"/containers/{container}?force=1")
        assert answer.status in (204, 404, 409), answer.body
        until(lambda c=container: engine.api.get(f"/containers/{c}/json").status == 404)


# ---- restart policies --------------------------------------------------------------------


def test_on_failure_gives_up(engine):
    container = engine.run(
        "sh", "-c", "exit 3",
        host={"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 2}},
    )  # fmt: skip
    until(lambda: engine.inspect(container)["RestartCount"] == 2)
    until(lambda: state(engine, container)["Status"] == "exited")
    time.sleep(0.5)
    shown = engine.inspect(container)
    assert (shown["RestartCount"], shown["State"]["Status"]) == (2, "exited")
    assert shown["State"]["ExitCode"] == 3


def test_on_failure_leaves_success_alone(engine):
    container = engine.run("true", host={"RestartPolicy": {"Name": "on-failure"}})
    engine.wait(container)
    time.sleep(0.3)
    shown = engine.inspect(container)
    assert (shown["RestartCount"], shown["State"]["Status"]) == (0, "exited")


@pytest.mark.parametrize("policy", ["always", "unless-stopped"])
@pytest.mark.parametrize("verb", ["stop?t=0", "kill"])
def test_a_stopped_container_is_not_restarted(engine, policy, verb):
    container = engine.run("sleep", "600", host={"RestartPolicy": {"Name": policy}})
    assert engine.api.post(f"/containers/{container}/{verb}").status == 204
    time.sleep(0.2)
    assert state(engine, container)["Status"] == "exited"
    assert engine.api.post(f"/containers/{container}/start").status == 204


def test_always_starts_again_with_delays(engine):
    container = engine.run(
        "sh", "-c", "sleep 0.05; exit 0", host={"RestartPolicy": {"Name": "always"}}
    )
    until(lambda: engine.inspect(container)["RestartCount"] >= 2)
    waiting = until(lambda: (s := state(engine, container))["Restarting"] and s)
    assert (waiting["Status"], waiting["Running"], waiting["Pid"]) == ("restarting", True, 0)
    [line] = engine.api.get("/containers/json").json
    assert line["State"] in ("restarting", "running")
    assert engine.api.post(f"/containers/{container}/stop").status == 204
    count = engine.inspect(container)["RestartCount"]
    time.sleep(0.9)
    shown = engine.inspect(container)
    assert shown["State"]["Status"] == "exited"
    assert shown["RestartCount"] == count


def test_a_restarting_container_can_be_removed_by_force(engine):
    container = engine.run("false", host={"RestartPolicy": {"Name": "always"}})
    until(lambda: state(engine, container)["Restarting"])
    assert engine.api.delete(f"/containers/{container}?force=1").status == 204
    assert engine.api.get(f"/containers/{container}/json").status == 404


# ---- memory ----------------------------------------------------------------------------------


def test_out_of_memory_is_reported(engine):
    container = engine.run(
        "sh", "-c", "tail /dev/zero", host={"Memory": 16 * 2**20, "MemorySwap": 16 * 2**20}
    )
    assert engine.wait(container) == 137
    assert state(engine, container)["OOMKilled"] is True
