"""Kills an engine while it works, and checks after the next start that its promises hold."""

import http.client
import json
import re
import threading
import time
from collections.abc import Callable
from typing import Any

from tests.support.crash import assert_quiet_log, assert_same_footprint, baseline
from tests.support.engine import IMAGE, TestEngine
from tests.support.http import Answer


SETTLED = ("created", "running", "exited")

LONG: dict[str, Any] = {
    "Image": IMAGE,
    "Cmd": ["sleep", "1000"],
    "Volumes": {"/data": {}, "/etc": {}},
    "ExposedPorts": {"80/tcp": {}},
    "HostConfig": {"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1"}]}},
}
"""A container that uses many features: volumes, one with the image's files, a port."""

SHORT: dict[str, Any] = {"Image": IMAGE, "Cmd": ["sh", "-c", "echo done; exit 3"]}


class Chaos:
    """An engine that is killed repeatedly.

    The changes that it has acknowledged are compared with its state after the next start.
    """

    def __init__(self, engine: TestEngine) -> None:
        self.engine = engine
        self.api = engine.api
        self.baseline = baseline(engine)
        self.volumes = self._volumes()
        self.began = time.time()
        """The time from which on events are checked."""
        self.starts: list[float] = []
        """The seconds that each start took, by the engine's log (without starting Python)."""

    # ---- killing -----------------------------------------------------------------

    def kill_during(self, work: Callable[[], Any], delay: float, *, gently: bool = False) -> Any:
        """Begin some work, kill the engine meanwhile, and return the work's result.

        Args:
            work: a function that runs in a thread; its result is None if its request was lost.
            delay: seconds until the engine is killed.
            gently: whether to use SIGTERM instead of SIGKILL.
        """
        done: list[Any] = []

        def run() -> None:
            try:
                done.append(work())
            except (OSError, http.client.HTTPException, ValueError):
                done.append(None)  # the engine died before it could answer

        thread = threading.Thread(target=run)
        thread.start()
        time.sleep(delay)
        if gently:
            self.engine.stop()
        else:
            self.engine.kill()
        thread.join(20)
        assert not thread.is_alive()
        return done[0]

    def start(self) -> None:
        """Start again, and check that the start is quick and logs nothing unexpected."""
        self.engine.start()
        told = re.findall(r'"the engine is ready".* seconds=([0-9.]+)', self.engine.log.read_text())
        self.starts.append(float(told[-1]))
        assert_quiet_log(self.engine)

    # ---- promises ----------------------------------------------------------------

    def states(self, *, pausing: bool = False) -> dict[str, str]:
        """Return the state of each container, which must not be a transitional one."""
        settled = {*SETTLED, *(["paused"] if pausing else [])}
        found = {c["Id"]: c["State"] for c in self.api.get("/containers/json?all=1").json}
        assert all(state in settled for state in found.values()), found
        for container, state in list(found.items()):
            answer = self.api.get(f"/containers/{container}/json")
            if answer.status == 404:  # removed in between, as a short --rm one is
                del found[container]
                continue
            inspected = answer.json["State"]
            # A short one may have ended in between.
            later = (state, inspected["Status"]) == ("running", "exited")
            assert inspected["Status"] == state or later
            assert bool(inspected["Pid"]) is bool(inspected["Running"])
        return found

    def assert_works(self, container: str) -> None:
        """Check that a container, whatever its state, can be started and stopped."""
        answer = self.api.post(f"/containers/{container}/start")
        assert answer.status in (204, 304), answer.body
        answer = self.api.post(f"/containers/{container}/kill")
        # A short one may have ended by itself.
        assert answer.status in (204, 409), answer.body

    def reset_checks(self) -> None:
        """Remove all containers and empty the log, so that the next test begins anew."""
        if self.engine.process is None or self.engine.process.poll() is not None:
            self.engine.start()
        self.engine.log.write_bytes(b"")
        self.engine.remove_all()
        self.began = time.time()
        self.volumes = self._volumes()

    def assert_clean(self) -> None:
        """Remove all containers, and check that nothing of them is left."""
        for container in self.states(pausing=True):
            answer = self.api.delete(f"/containers/{container}?force=1&v=1")
            assert answer.status == 204, answer.body
        assert self._volumes() == self.volumes
        assert_same_footprint(self.engine, self.baseline)
        assert_quiet_log(self.engine)
        self._assert_events()

    def _volumes(self) -> list[str]:
        return sorted(v["Name"] for v in self.api.get("/volumes").json["Volumes"] or [])

    def _assert_events(self) -> None:
        """Check that the events of every container are complete and in order."""
        body = self.api.get(f"/events?since={self.began:.6f}&until={time.time() + 0.001:.6f}").body
        stories: dict[str, list[str]] = {}
        times = []
        for line in body.splitlines():
            event = json.loads(line)
            times.append(event["timeNano"])
            assert event["Action"] != "events-lost"
            if event["Type"] == "container":
                stories.setdefault(event["Actor"]["ID"], []).append(event["Action"])
        assert times == sorted(set(times))
        for container, actions in stories.items():
            assert_story(container, actions)


def assert_story(container: str, actions: list[str]) -> None:
    """Check that a container's events are: create, then start and die alternating, then destroy."""
    known = [a for a in actions if a in ("create", "start", "die", "destroy")]
    told = f"{container[:12]}: {actions}"
    assert known[0] == "create", told
    assert known[-1] == "destroy", told
    between = known[1:-1]
    assert between == ["start", "die"] * (len(between) // 2), told


def acknowledged(answer: Answer | None, *statuses: int) -> bool:
    """Return whether the engine acknowledged the request."""
    return answer is not None and answer.status in statuses
