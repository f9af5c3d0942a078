"""``kill -9`` of the engine while images and volumes are made and removed: all or nothing."""

import io
import os
import tarfile
import time

import pytest
from tests.support.chaos import Chaos, acknowledged
from tests.support.crash import running
from tests.support.engine import below


pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

TAR = {"Content-Type": "application/x-tar"}


@pytest.fixture(scope="module")
def whole():
    with running() as engine:
        yield Chaos(engine)


@pytest.fixture
def chaos(whole):
    before = files(whole.engine)
    yield whole
    for image in tags(whole):
        if image != "busybox:latest":
            assert whole.api.delete(f"/images/{image}?force=1").status == 200
    whole.api.post("/images/prune?filters=%7B%22dangling%22%3A%5B%22true%22%5D%7D")
    deadline = time.monotonic() + 5
    while (now := files(whole.engine)) != before:
        assert time.monotonic() < deadline, now ^ before
        time.sleep(0.05)
    whole.assert_works(whole.engine.create("true"))
    whole.reset_checks()


@pytest.fixture(scope="module")
def archive():
    """Return a layer of some megabytes, which takes long enough to be interrupted."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for number in range(200):
            entry = tarfile.TarInfo(f"file{number}")
            entry.size = 20_000
            tar.addfile(entry, io.BytesIO(os.urandom(entry.size)))
    return buffer.getvalue()


def files(engine):
    """Return the paths in the data root, without the layers' contents and the database."""
    found = {str(path.relative_to(engine.data_root)) for path in below(engine.data_root)}
    return {name for name in found if "/file" not in name and not name.startswith("palan.db")}


def tags(chaos):
    return [tag for image in chaos.api.get("/images/json").json for tag in image["RepoTags"] or []]


def load(chaos, archive):
    return chaos.api.post("/images/create?fromSrc=-&repo=big&tag=1", archive, headers=TAR)


@pytest.mark.parametrize("delay", [0.01, 0.05, 0.1, 0.15, 0.2, 0.25])
def test_import(chaos, archive, delay):
    answer = chaos.kill_during(lambda: load(chaos, archive), delay)
    chaos.start()
    if acknowledged(answer, 200) and b"sha256:" in answer.body:
        assert "big:1" in tags(chaos)
    if "big:1" in tags(chaos):
        changed = chaos.api.post("/containers/create", {"Image": "big:1", "Cmd": ["/file1"]})
        assert changed.status == 201
        chaos.engine.remove(changed.json["Id"])


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.02, 0.03])
def test_removal(chaos, archive, delay):
    assert load(chaos, archive).status == 200
    answer = chaos.kill_during(lambda: chaos.api.delete("/images/big:1"), delay)
    chaos.start()
    if acknowledged(answer, 200):
        assert "big:1" not in tags(chaos)


@pytest.mark.parametrize("delay", [0.0, 0.03, 0.06])
def test_load(chaos, delay):
    saved = chaos.api.get("/images/busybox/get").body
    chaos.kill_during(lambda: chaos.api.post("/images/load", saved, headers=TAR), delay)
    chaos.start()
    assert tags(chaos) == ["busybox:latest"]


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.02, 0.03])
def test_volumes(chaos, delay):
    def work():
        made = []
        for number in range(20):
            answer = chaos.api.post("/volumes/create", {"Name": f"v{number}"})
            made.append((f"v{number}", answer.status == 201))
            if number % 2:
                gone = chaos.api.delete(f"/volumes/v{number}").status == 204
                made[-1] = (f"v{number}", not gone)
            acknowledgements[:] = made
        return made

    acknowledgements: list[tuple[str, bool]] = []
    chaos.kill_during(work, delay)
    chaos.start()
    left = {volume["Name"] for volume in chaos.api.get("/volumes").json["Volumes"] or []}
    for name, there in acknowledgements:
        assert (name in left) is there
    for name in left:
        assert chaos.api.delete(f"/volumes/{name}").status == 204
