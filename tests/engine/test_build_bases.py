"""Builds whose base or context is remote: registries, git."""

import base64
import contextlib
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.build import build, output
from tests.support.engine import TestEngine
from tests.support.registry import PASSWORD, USER, docker_registry


pytestmark = pytest.mark.root


@pytest.fixture
def engine(shared_engine: TestEngine) -> Iterator[TestEngine]:
    """Yield the engine of the session, and remove containers and images of builds at the end."""
    yield shared_engine
    shared_engine.remove_all()
    shared_engine.api.post("/images/prune")


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def push(engine: TestEngine, name: str, auth: object) -> None:
    """Push the test image under a name, and remove that name from the engine."""
    repository, _, tag = name.rpartition(":")
    engine.api.post(f"/images/busybox/tag?repo={repository}&tag={tag}")
    answer = engine.api.post(f"/images/{name}/push", headers={"X-Registry-Auth": encoded(auth)})
    assert b"errorDetail" not in answer.body, answer.body
    engine.api.delete(f"/images/{name}")


def test_bases_are_pulled_with_the_credentials_for_their_registry(engine, tmp_path):
    login = {"username": USER, "password": PASSWORD}
    with docker_registry(tmp_path, authenticated=True) as address:
        name = f"{address}/base:1"
        push(engine, name, {**login, "serveraddress": address})
        text = f"FROM {name} AS one\nLABEL a=b\nFROM busybox\nCOPY --from={name} /etc/passwd /p\n"
        refused = build(engine, text)
        assert "no basic auth credentials" in refused.error
        other = {"X-Registry-Config": encoded({"example.com": login})}
        assert build(engine, text, headers=other).error == refused.error
        known = {"X-Registry-Config": encoded({f"https://{address}/v1/": login})}
        built = build(engine, text, headers=known)
        assert built.image
        statuses = [line["status"] for line in built.lines if "status" in line]
        assert statuses[0] == "Pulling from base"
        assert statuses[-1] == f"Status: Downloaded newer image for {name}"
        # The base exists locally now, so the registry is not asked, unless the build pulls.
        assert build(engine, text).image == built.image
        alone = f"FROM {name}\nLABEL a=b\n"
        assert "no basic auth credentials" in build(engine, alone, pull=1).error
        again = build(engine, alone, pull=1, headers=known)
        assert again.hits == 1
        assert [line["id"] for line in again.lines if "Pulling" in line.get("status", "")] == ["1"]
        engine.api.delete(f"/images/{name}")


def test_a_base_that_can_not_be_had_fails_the_build(engine):
    built = build(engine, "FROM 127.0.0.1:1/absent:1\n")
    assert built.text == "Step 1/1 : FROM 127.0.0.1:1/absent:1\n"
    assert built.error == (
        'failed to resolve reference "127.0.0.1:1/absent:1": failed to do request: Head'
        ' "https://127.0.0.1:1/v2/absent/manifests/1": dial tcp 127.0.0.1:1: connect: connection'
        " refused"
    )
    assert build(engine, "FROM UPPER\n").error.startswith("invalid reference format")
    assert build(engine, "FROM --platform=a/b/c/d busybox\n").error.startswith(
        "failed to parse platform a/b/c/d"
    )


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[str]:
    """Make a git repository with a branch, a tag and a directory; yield its address."""
    if shutil.which("git") is None:
        pytest.skip("there is no git")
    work = tmp_path / "repository.git"
    work.mkdir()

    def git(*arguments: str) -> None:
        names = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-C", str(work))
        subprocess.run(["git", *names, *arguments], check=True, capture_output=True)

    git("init", "-b", "master")
    (work / "Dockerfile").write_text("FROM busybox\nCOPY f /f\nRUN cat /f\n")
    (work / "f").write_text("of master\n")
    (work / "sub").mkdir()
    (work / "sub/Dockerfile").write_text("FROM busybox\nRUN echo in sub\n")
    (work / "out").symlink_to("/")
    git("add", ".")
    git("commit", "-m", "first")
    git("tag", "v1")
    git("checkout", "-b", "other")
    (work / "f").write_text("of other\n")
    git("commit", "-am", "second")
    git("checkout", "master")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    daemon = subprocess.Popen(
        ["git", "daemon", "--export-all", "--listen=127.0.0.1", f"--port={port}",
         f"--base-path={tmp_path}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            break
        time.sleep(0.02)
    yield f"git://127.0.0.1:{port}/repository.git"
    subprocess.run(["kill", "--", f"-{daemon.pid}"], check=False)
    daemon.wait(10)


def test_contexts_out_of_git(engine, repository):
    def said(fragment: str) -> list[str]:
        return output(build(engine, b"", remote=repository + fragment, nocache=1))

    assert said("") == ["of master"]
    assert said("#other") == ["of other"]
    assert said("#v1:sub") == ["in sub"]
    for fragment, message in (
        ("#absent", "error fetching: "),
        ("#-x", "invalid refspec: -x"),
        ("#master:out", 'error setting git context, "out" not within git root'),
        ("#master:absent", "error setting git context, not a directory: absent"),
    ):
        answer = build(engine, b"", remote=repository + fragment).answer
        assert (answer.status, answer.message[: len(message)]) == (400, message)
