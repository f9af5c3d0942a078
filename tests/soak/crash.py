"""Kill an engine repeatedly while clients keep it busy.

    python -m tests.soak.crash --minutes 10 --clients 4 --seed 7

Each client works on containers of its own, and records its requests and the engine's
acknowledgements.  After each kill the state of the next engine must agree with these; from time
to time all containers are removed, and nothing of them may be left.
"""

import argparse
import http.client
import json
import random
import statistics
import sys
import threading
import time
from typing import Any

from tests.support.chaos import LONG, SHORT, Chaos
from tests.support.engine import TestEngine
from tests.support.http import Answer


GONE = "gone"
ENDS = {"running", "exited"}


class Known:
    """A container as its client knows it: the states that it may be in."""

    def __init__(self, container: str, body: dict[str, Any]) -> None:
        self.id = container
        self.states = {"created"}
        self.short = body["Cmd"] == SHORT["Cmd"]
        self.temporary = bool(body["HostConfig"].get("AutoRemove"))

    def after_start(self) -> set[str]:
        ends = ENDS if self.short else {"running"}
        return self.after_end(ends)

    def after_end(self, states: set[str]) -> set[str]:
        return states | {GONE} if self.temporary and "exited" in states else states


class Client:
    """Does random operations until the engine dies."""

    def __init__(self, chaos: Chaos, known: list[Known], seed: int) -> None:
        self.thread = threading.Thread(target=self.run)
        self.api = chaos.api
        self.known = known
        self.random = random.Random(seed)
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            while True:
                self.step()
        except (OSError, http.client.HTTPException):
            pass  # killed
        except json.JSONDecodeError:
            pass  # killed in the middle of an answer
        except BaseException as error:  # noqa: BLE001 - raised in the main thread
            self.failure = error

    def step(self) -> None:
        if not self.known or (len(self.known) < 4 and self.random.random() < 0.3):
            self.create()
            return
        actions = [self.start, self.start, self.start, self.end, self.end, self.remove]
        actions += [self.pause, self.exec, self.rename, self.restart, self.look]
        self.random.choice(actions)(self.random.choice(self.known))

    def call(self, method: str, target: str, *good: int, body: Any = None) -> Answer:
        answer = self.api.call(method, target, body)
        assert answer.status in good, (method, target, answer)
        return answer

    def create(self) -> None:
        body = dict(self.random.choice((LONG, SHORT, SHORT)))
        body["HostConfig"] = {
            **body.get("HostConfig", {}),
            "AutoRemove": self.random.random() < 0.25,
        }
        answer = self.call("POST", "/containers/create", 201, body=body)
        self.known.append(Known(answer.json["Id"], body))

    def change(self, known: Known, target: str, maybe: set[str], done: set[str]) -> None:
        """Request a change: until the response arrives, it may or may not have happened."""
        before = set(known.states)
        known.states = before | maybe | done
        answer = self.call("POST", f"/containers/{known.id}{target}", 200, 204, 304, 404, 409)
        if answer.status == 404:
            known.states = {GONE}
        elif answer.status != 409:
            known.states = done

    def start(self, known: Known) -> None:
        if "paused" not in known.states:
            self.change(known, "/start", set(), known.after_start())

    def end(self, known: Known) -> None:
        target = self.random.choice(("/kill", "/stop?t=0"))
        # The engine thaws a paused container, so that it can handle the signal.
        maybe = known.after_end({"running", "exited"})
        if known.states & {"running", "paused"}:
            self.change(known, target, maybe, known.after_end({"exited"}))

    def restart(self, known: Known) -> None:
        if not known.temporary and "paused" not in known.states:
            self.change(known, "/restart?t=0", {"exited"}, known.after_start())

    def pause(self, known: Known) -> None:
        if known.states == {"running"} and not known.short:
            self.change(known, "/pause", set(), {"paused"})
        elif known.states == {"paused"}:
            self.change(known, "/unpause", set(), {"running"})

    def exec(self, known: Known) -> None:
        if known.states != {"running"} or known.short:
            return
        body = {"Cmd": ["true"], "AttachStdout": False}
        answer = self.call("POST", f"/containers/{known.id}/exec", 201, body=body)
        target = f"/exec/{answer.json['Id']}/start"
        self.call("POST", target, 200, body={"Detach": True})

    def rename(self, known: Known) -> None:
        name = f"c{self.random.randrange(10**9)}"
        self.call("POST", f"/containers/{known.id}/rename?name={name}", 204, 404, 409)

    def remove(self, known: Known) -> None:
        known.states = known.states | {"exited", GONE}
        target = f"/containers/{known.id}?force=1&v=1"
        self.call("DELETE", target, 204, 404, 409)
        known.states = {GONE}

    def look(self, known: Known) -> None:
        self.call("GET", "/containers/json?all=1", 200)
        self.call("GET", f"/containers/{known.id}/json", 200, 404)
        self.call("GET", f"/containers/{known.id}/logs?stdout=1", 200, 404)


def check(chaos: Chaos, groups: list[list[Known]]) -> None:
    """Check that the containers' states agree with the acknowledgements."""
    found = chaos.states(pausing=True)
    for group in groups:
        for known in list(group):
            state = found.pop(known.id, GONE)
            allowed = set(known.states)
            if "running" in allowed and known.short:
                allowed = known.after_end(allowed | {"exited"})
            if known.temporary and "exited" in allowed:
                allowed.add(GONE)
            assert state in allowed, (known.id, state, known.states)
            if state == GONE:
                group.remove(known)
            else:
                known.states = {state}
    # The others were created without an acknowledgement; they must be complete.
    for container in found:
        chaos.api.delete(f"/containers/{container}?force=1&v=1")


def soak(seconds: float, clients: int, seed: int) -> str:
    """Run the test, and return a summary for the user.

    Raises:
        AssertionError: the engine's state contradicts an acknowledgement.
    """
    engine = TestEngine()
    try:
        return _soak(engine, seconds, clients, seed)
    except BaseException:
        sys.stderr.write(engine.log.read_text()[-8000:])
        raise
    finally:
        engine.close()


def _soak(engine: TestEngine, seconds: float, clients: int, seed: int) -> str:
    choice = random.Random(seed)
    engine.start()
    engine.load_image()
    chaos = Chaos(engine)
    deadline = time.monotonic() + seconds
    kills = 0
    groups: list[list[Known]] = [[] for _ in range(clients)]
    while time.monotonic() < deadline:
        working = [Client(chaos, group, choice.randrange(2**32)) for group in groups]
        for client in working:
            client.thread.start()
        time.sleep(choice.choice((0.02, 0.1, 0.5, 1)) * choice.random())
        engine.kill()
        kills += 1
        for client in working:
            client.thread.join(60)
            assert not client.thread.is_alive(), "a client waits for a dead engine"
            if client.failure is not None:
                raise client.failure
        chaos.start()
        check(chaos, groups)
        if choice.random() < 0.1:
            chaos.assert_clean()
            for group in groups:
                group.clear()
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{kills} kills")
    chaos.assert_clean()
    typical, slowest = statistics.median(chaos.starts), max(chaos.starts)
    return f"{kills} kills; a start took {typical:.2f} s typically, {slowest:.2f} s at most"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    given = parser.parse_args()
    sys.stderr.write(f"seed {given.seed}\n")
    sys.stdout.write(soak(given.minutes * 60, given.clients, given.seed) + "\n")


if __name__ == "__main__":
    main()
