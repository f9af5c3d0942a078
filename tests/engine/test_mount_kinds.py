"""Mounts of every type and with every option, seen from inside of the container."""

import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.support.crash import assert_same_footprint, settled_footprint
from tests.support.engine import TestEngine
from tests.support.tar import TAR, entry, members, tarball

from palan.api.version import MAX_VERSION


pytestmark = pytest.mark.root

SLEEP = ("sleep", "600")


@pytest.fixture
def own(engine):
    """Yield an engine, and remove all volumes at the end."""
    yield engine
    engine.remove_all()
    for volume in engine.api.get("/volumes").json["Volumes"]:
        assert engine.api.delete(f"/volumes/{volume['Name']}").status == 204


@pytest.fixture(scope="module")
def data(shared_engine):
    """Load an image with only data, in two layers."""
    archive = tarball(
        entry("models", kind="dir"),
        entry("models/weights", b"heavy"),
        entry("models/out", kind="link", linkname="../../../../etc"),
        entry("models/near", kind="link", linkname="weights"),
        entry("file", b"at the top"),
    )
    answer = shared_engine.api.post(
        "/images/create?fromSrc=-&repo=data&tag=1", archive, headers=TAR
    )
    assert answer.status == 200, answer.body
    yield "data:1"
    shared_engine.remove_all()
    shared_engine.api.delete("/images/data:1?force=1")


def mount(kind: str, target: str = "/in", source: str = "", **options: Any) -> dict[str, Any]:
    return {"Type": kind, "Target": target, "Source": source, **options}


def seen(engine: TestEngine, *mounts: dict[str, Any], command: str, **host: Any) -> str:
    return engine.output("sh", "-c", command, host={"Mounts": list(mounts), **host}).strip()


def refused(engine: TestEngine, status: int, *mounts: dict[str, Any]) -> str:
    body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"Mounts": mounts}}
    answer = engine.api.post("/containers/create", body)
    if answer.status == 201:
        answer = engine.api.post(f"/containers/{answer.json['Id']}/start")
    assert answer.status == status, answer.body
    return answer.message


# ---- images ---------------------------------------------------------------------


def test_an_image_is_mounted_read_only(own, data):
    text = seen(
        own,
        mount("image", source=data),
        command="cat /in/file /in/models/weights; touch /in/x; echo $?",
    )
    assert text.startswith("at the topheavy")
    assert "Read-only file system" in text
    assert text.endswith("1")


@pytest.mark.parametrize(
    ("subpath", "expected"),
    [("models", "heavy"), ("models/", "heavy"), ("./models/../models", "heavy")],
)
def test_a_part_of_an_image_is_mounted(own, data, subpath, expected):
    part = mount("image", source=data, ImageOptions={"Subpath": subpath})
    assert seen(own, part, command="cat /in/weights") == expected


def test_a_file_of_an_image_is_mounted(own, data):
    part = mount("image", source=data, ImageOptions={"Subpath": "models/near"})
    assert seen(own, part, command="cat /in") == "heavy"


@pytest.mark.parametrize(
    ("subpath", "status", "words"),
    [
        ("nothing", 404, "cannot access path"),
        ("models/out", 400, "path concatenation escapes the base directory"),
        ("../models", 400, "subpath must be a relative path within the volume"),
        ("/models", 400, "subpath must be a relative path within the volume"),
    ],
)
def test_a_part_that_is_not_in_the_image_is_refused(own, data, subpath, status, words):
    before = settled_footprint(own)
    part = mount("image", source=data, ImageOptions={"Subpath": subpath})
    assert words in refused(own, status, part)
    own.remove_all()
    assert_same_footprint(own, before)


def test_a_mounted_image_is_in_use_and_shown(own, data):
    container = own.create(*SLEEP, host={"Mounts": [mount("image", source=data)]})
    (shown,) = own.inspect(container)["Mounts"]
    assert (shown["Type"], shown["Name"], shown["RW"]) == ("image", data, False)
    answer = own.api.delete(f"/images/{data}")
    assert answer.status == 409
    own.api.post(f"/containers/{container}/start")
    (shown,) = own.inspect(container)["Mounts"]
    assert Path(shown["Source"], "file").read_text() == "at the top"
    files = f"/containers/{container}/archive?path=/in/models"
    assert "models/weights" in members(own.api.get(files).body)
    own.api.post(f"/containers/{container}/kill")
    own.wait(container)
    assert "models/weights" in members(own.api.get(files).body)
    assert not Path(shown["Source"]).exists()


def test_an_absent_image_is_not_found(own):
    assert refused(own, 404, mount("image", source="absent:1")) == "No such image: absent:1"


# ---- parts of volumes -----------------------------------------------------------


@pytest.fixture
def volume(own):
    """Create a volume with files."""
    holder = own.create(*SLEEP, host={"Binds": ["parts:/v"]})
    archive = tarball(
        entry("a", kind="dir"),
        entry("a/b", kind="dir"),
        entry("a/b/file", b"deep"),
        entry("a/inside", kind="link", linkname="b"),
        entry("a/outside", kind="link", linkname="/etc"),
        entry("a/above", kind="link", linkname="../../../../../../etc"),
    )
    target = f"/containers/{holder}/archive?path=/v"
    assert own.api.call("PUT", target, archive, headers=TAR).status == 200


def part(subpath: str, **options: Any) -> dict[str, Any]:
    return mount("volume", source="parts", VolumeOptions={"Subpath": subpath}, **options)


@pytest.mark.usefixtures("volume")
@pytest.mark.parametrize(
    ("subpath", "command"),
    [("a/b", "cat /in/file"), ("a/inside", "cat /in/file"), ("a/b/file", "cat /in")],
)
def test_a_part_of_a_volume_is_mounted(own, subpath, command):
    assert seen(own, part(subpath), command=command) == "deep"


@pytest.mark.usefixtures("volume")
def test_writes_to_a_subpath_are_in_the_volume(own):
    seen(own, part("a/b"), command="echo new >/in/new")
    assert own.output("cat", "/v/a/b/new", host={"Binds": ["parts:/v"]}) == "new\n"
    text = seen(own, part("a/b", ReadOnly=True), command="touch /in/x")
    assert "Read-only file system" in text


@pytest.mark.usefixtures("volume")
@pytest.mark.parametrize(
    ("subpath", "status"),
    [("a/none", 404), ("a/outside", 400), ("a/above", 400), ("..", 400), ("/a", 400)],
)
def test_a_part_that_leads_out_of_the_volume_is_refused(own, subpath, status):
    before = settled_footprint(own)
    assert refused(own, status, part(subpath))
    for line in own.api.get("/containers/json?all=1").json:
        if line["Mounts"][0]["Destination"] == "/in":
            own.remove(line["Id"])
    assert_same_footprint(own, before)


@pytest.mark.usefixtures("volume")
def test_a_part_swapped_for_a_link_leads_nowhere(own):
    """A container replaces the subpath by a link to the host's root while others mount it."""
    script = "cd /v/a; while :; do mv b c; ln -s /etc b; rm b; mv c b; done"
    own.run("sh", "-c", script, host={"Binds": ["parts:/v"]})
    found = []
    for _ in range(12):
        body = {"Image": "busybox", "Cmd": ["ls", "/in"], "HostConfig": {"Mounts": [part("a/b")]}}
        container = own.api.post("/containers/create", body).json["Id"]
        answer = own.api.post(f"/containers/{container}/start")
        assert answer.status in (204, 400, 404), answer.body
        if answer.status == 204:
            own.wait(container)
            found.append(own.api.get(f"/containers/{container}/logs?stdout=1").body)
        own.remove(container)
    assert not any(b"passwd" in listing for listing in found)


# ---- binds ----------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path):
    """Yield a directory with a tmpfs mounted below it."""
    below = tmp_path / "tree/below"
    below.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "below", below], check=True)
    (below / "file").write_text("below")
    yield tmp_path / "tree"
    subprocess.run(["umount", "-l", below], check=True)


def test_recursive_and_non_recursive_binds(own, tree):
    bind = mount("bind", source=str(tree))
    assert seen(own, bind, command="cat /in/below/file") == "below"
    alone = {**bind, "BindOptions": {"NonRecursive": True}}
    assert seen(own, alone, command="ls /in/below") == ""


@pytest.mark.parametrize(
    ("version", "options", "writable"),
    [
        (str(MAX_VERSION), {}, False),
        (str(MAX_VERSION), {"ReadOnlyNonRecursive": True}, True),
        (str(MAX_VERSION), {"ReadOnlyForceRecursive": True, "Propagation": "rprivate"}, False),
        ("1.43", {}, True),
    ],
    ids=["possible", "never", "forced", "before 1.44"],
)
def test_read_only_goes_for_what_is_below(own, tree, version, options, writable):
    bind = mount("bind", source=str(tree), ReadOnly=True, BindOptions=options)
    body = {
        "Image": "busybox",
        "Cmd": ["sh", "-c", "touch /in/x /in/below/x; [ -e /in/below/x ]"],
        "HostConfig": {"Mounts": [bind]},
    }
    created = own.api.at(version).post("/containers/create", body)
    assert created.status == 201, created.body
    container = created.json["Id"]
    assert own.api.post(f"/containers/{container}/start").status == 204
    assert (own.wait(container) == 0) is writable
    assert not (tree / "x").exists()


def test_contradicting_options_are_refused(own, tmp_path):
    bind = mount("bind", source=str(tmp_path), ReadOnly=True)
    both = {"ReadOnlyNonRecursive": True, "ReadOnlyForceRecursive": True}
    assert "conflict" in refused(own, 400, {**bind, "BindOptions": both})
    for options in ({"ReadOnlyNonRecursive": True}, {"ReadOnlyForceRecursive": True}):
        writable = {**bind, "ReadOnly": False, "BindOptions": options}
        assert "conflict" in refused(own, 400, writable)


def test_a_missing_source_is_made_only_if_asked(own, tmp_path):
    missing = tmp_path / "not/there"
    bind = mount("bind", source=str(missing))
    assert "bind source path does not exist" in refused(own, 400, bind)
    made = {**bind, "BindOptions": {"CreateMountpoint": True}}
    assert seen(own, made, command="ls -d /in") == "/in"
    assert missing.is_dir()
    short = tmp_path / "short/form"
    own.output("true", host={"Binds": [f"{short}:/in"]})
    assert short.is_dir()


def test_a_source_that_is_gone_at_the_start_is_the_caller_s_mistake(own, tmp_path):
    source = tmp_path / "soon-gone"
    source.mkdir()
    container = own.create(*SLEEP, host={"Mounts": [mount("bind", source=str(source))]})
    source.rmdir()
    answer = own.api.post(f"/containers/{container}/start")
    assert (answer.status, answer.message) == (
        400, f'invalid mount config for type "bind": bind source path does not exist: {source}',
    )  # fmt: skip
    assert not source.exists()
    source.mkdir()
    assert own.api.post(f"/containers/{container}/start").status == 204


@pytest.mark.parametrize(
    ("propagation", "optional"),
    [("rprivate", ""), ("private", ""), ("rslave", "master:"), ("rshared", "shared:")],
)
def test_propagation_is_as_asked(own, tmp_path, propagation, optional):
    shared = tmp_path / "shared"
    shared.mkdir()
    subprocess.run(["mount", "--bind", shared, shared], check=True)
    subprocess.run(["mount", "--make-shared", shared], check=True)
    try:
        bind = mount("bind", source=str(shared), BindOptions={"Propagation": propagation})
        line = seen(own, bind, command="grep ' /in ' /proc/self/mountinfo")
        fields = line.split(" - ")[0].split()[6:]
        assert any(f.startswith(optional) for f in fields) if optional else fields == []
    finally:
        subprocess.run(["umount", "-l", shared], check=True)


def test_consistency_is_taken_and_means_nothing_here(own, tmp_path):
    for consistency in ("", "default", "consistent", "cached", "delegated"):
        bind = mount("bind", source=str(tmp_path), Consistency=consistency)
        assert seen(own, bind, command="echo ok") == "ok"


# ---- tmpfs ----------------------------------------------------------------------


def test_a_tmpfs_has_size_mode_and_options(own):
    options = {"SizeBytes": 2 << 20, "Mode": 0o1700, "Options": [["exec"]]}
    text = seen(
        own, mount("tmpfs", TmpfsOptions=options), command="grep ' /in ' /proc/mounts; ls -ld /in"
    )
    assert "size=2048k" in text
    assert "noexec" not in text
    assert "drwx-----T" in text
    assert "noexec" in seen(own, mount("tmpfs"), command="grep ' /in ' /proc/mounts")
    text = seen(own, mount("tmpfs", ReadOnly=True), command="touch /in/x")
    assert "Read-only file system" in text


# ---- volumes-from ---------------------------------------------------------------


@pytest.mark.usefixtures("volume")
def test_mounts_of_another_container_with_all_that_they_are(own, data, tmp_path):
    host = {
        "Binds": [f"{tmp_path}:/bound"],
        "Mounts": [part("a/b"), mount("image", target="/image", source=data)],
    }
    donor = own.create(*SLEEP, host=host)
    command = "cat /in/file /image/file; touch /bound/x; [ -e /bound/x ]; echo $?"
    text = own.output("sh", "-c", command, host={"VolumesFrom": [donor]})
    assert text.startswith("deepat the top")
    assert text.endswith("0\n")
    (tmp_path / "x").unlink()
    text = own.output("sh", "-c", command, host={"VolumesFrom": [f"{donor}:ro"]})
    assert text.endswith("1\n")


def test_a_place_can_have_one_mount(own, tmp_path):
    twice = [mount("tmpfs"), mount("bind", source=str(tmp_path))]
    assert refused(own, 400, *twice) == "Duplicate mount point: /in"


@pytest.mark.usefixtures("volume")
def test_many_containers_with_parts_leave_nothing(own, data):
    before = settled_footprint(own)
    mounts = [
        part("a/b"),
        mount("image", target="/i", source=data, ImageOptions={"Subpath": "models"}),
    ]

    def work() -> None:
        for _ in range(3):
            assert seen(own, *mounts, command="cat /in/file /i/weights") == "deepheavy"

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_same_footprint(own, before)
