"""Files in and out of containers: paths, links, mounts, owners, hostile archives, races."""

import bz2
import gzip
import io
import json
import lzma
import shutil
import socket
import subprocess
import tarfile
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.support.crash import assert_same_footprint, settled_footprint
from tests.support.http import API, Answer
from tests.support.tar import TAR, entry, members, path_stat, tarball


pytestmark = pytest.mark.root

SLEEP = ("sleep", "600")
TREE = (
    entry("up", kind="dir", mtime=1_600_000_000),
    entry("up/file.txt", b"uploaded\n", mode=0o600, mtime=1_600_000_000, uid=7, gid=8),
    entry("up/link", kind="link", linkname="file.txt", mtime=1_600_000_000),
)


class Files:
    """The archive endpoints of one container."""

    def __init__(self, engine: Any, container: str) -> None:
        self.api: API = engine.api
        self.container = container

    def _target(self, path: str, options: str = "") -> str:
        return f"/containers/{self.container}/archive?path={quote(path)}{options}"

    def put(self, path: str, data: bytes, options: str = "") -> Answer:
        return self.api.call("PUT", self._target(path, options), data, headers=TAR)

    def get(self, path: str, **headers: str) -> Answer:
        return self.api.get(self._target(path), headers=headers)

    def head(self, path: str) -> Answer:
        return self.api.call("HEAD", self._target(path))

    def read(self, path: str) -> bytes:
        answer = self.get(path)
        assert answer.status == 200, answer.body
        with tarfile.open(fileobj=io.BytesIO(answer.body)) as tar:
            found = tar.extractfile(next(iter(tar)))
            assert found is not None
            return found.read()


@pytest.fixture(scope="module", params=["running", "created"])
def both(shared_engine, request, tmp_path_factory):
    """Yield a container with a volume, a bind mount and a read-only one."""
    engine, bound = shared_engine, tmp_path_factory.mktemp("bound")
    host = {"Binds": [f"{bound}:/bound", f"{bound}:/locked:ro", "archived:/vol"]}
    container = engine.create(*SLEEP, host=host)
    if request.param == "running":
        assert engine.api.post(f"/containers/{container}/start").status == 204
    yield Files(engine, container)
    engine.remove(container)
    engine.api.delete("/volumes/archived")


@pytest.fixture
def files(both):
    """Return the container's endpoints, after creating an empty directory /data in it."""
    assert both.put("/", tarball(entry("data"), entry("data", kind="dir"))).status == 200
    return both


def test_a_tree_goes_in_and_comes_out(files):
    for path in ("/data", "/vol", "/bound"):
        assert files.put(path, tarball(*TREE)).status == 200
        answer = files.get(f"{path}/up")
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/x-tar"
        found = members(answer.body)
        assert list(found) == ["up", "up/file.txt", "up/link"]
        assert found["up/file.txt"].mode == 0o600
        assert (found["up/file.txt"].uid, found["up/file.txt"].gid) == (7, 8)
        assert found["up/file.txt"].mtime == 1_600_000_000
        assert found["up/link"].linkname == "file.txt"
        assert path_stat(answer.headers) == {
            "name": "up", "size": path_stat(answer.headers)["size"], "mode": 0x800001ED,
            "mtime": "2020-09-13T12:26:40Z", "linkTarget": "",
        }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "names", "name"),
    [
        ("/data/up/file.txt", ["file.txt"], "file.txt"),
        ("data/up/file.txt", ["file.txt"], "file.txt"),
        ("/../../data/up/file.txt", ["file.txt"], "file.txt"),
        ("/data/up/", ["up", "up/file.txt", "up/link"], "up"),
        ("/data/up/.", [".", "./file.txt", "./link"], "."),
        ("/data/up/./", [".", "./file.txt", "./link"], "."),
        ("data/up/.//", [".", "./file.txt", "./link"], "."),
        ("/data/up/link", ["link"], "link"),
        ("/data/way/", ["way", "way/file.txt", "way/link"], "way"),
        ("/data/way/.", [".", "./file.txt", "./link"], "."),
        ("/data/way", ["way"], "way"),
        ("/data/way/file.txt", ["file.txt"], "file.txt"),
    ],
)
def test_names_follow_the_path(files, path, names, name):
    way = entry("way", kind="link", linkname="/data/up")
    assert files.put("/data", tarball(*TREE, way)).status == 200
    answer = files.get(path)
    assert answer.status == 200, answer.body
    assert list(members(answer.body)) == names
    for headers in (answer.headers, files.head(path).headers):
        assert path_stat(headers)["name"] == name


def test_the_root_by_a_relative_path(files):
    for path in (".", "./"):
        assert path_stat(files.head(path).headers)["name"] == "."


def test_a_directory_may_end_with_a_dot(files):
    dotted = entry("dotted.", kind="dir")
    assert files.put("/data", tarball(dotted)).status == 200
    assert files.put("/data/dotted.", tarball(entry("file", b"x"))).status == 200
    assert files.read("/data/dotted./file") == b"x"


def test_properties_of_a_path(files):
    assert files.put(
        "/data",
        tarball(
            *TREE,
            entry("abs", kind="link", linkname="/data/up/link"),
            entry("gone", kind="link", linkname="../../../nowhere/at/all"),
            entry("loop", kind="link", linkname="loop"),
            entry("tmp", kind="dir", mode=0o1777),
            entry("suid", b"", mode=0o4755),
            entry("fifo", kind="fifo"),
        ),
    ).status == 200  # fmt: skip
    stat = {
        name: path_stat(files.head(f"/data/{name}").headers)
        for name in ("abs", "gone", "tmp", "suid", "fifo", "up/file.txt")
    }
    assert stat["abs"]["linkTarget"] == "/data/up/file.txt"
    assert stat["gone"]["linkTarget"] == "/nowhere/at/all"
    assert stat["abs"]["mode"] == 0x080001FF
    assert stat["tmp"]["mode"] == 0x801001FF
    assert stat["suid"]["mode"] == 0x008001ED
    assert stat["fifo"]["mode"] == 0x020001A4
    assert stat["up/file.txt"]["size"] == 9
    assert files.head("/data/loop").status in (200, 400)
    root = path_stat(files.head("/").headers)
    assert (root["name"], root["mode"]) == ("/", 0x800001ED)


def test_the_root_comes_with_all_that_is_below(files):
    assert files.put("/data", tarball(*TREE)).status == 200
    answer = files.get("/")
    assert answer.status == 200
    found = members(answer.body)
    assert {"/data/up/file.txt", "/bin/busybox", "/bound"} <= set(found)
    assert not [name for name in found if name.startswith("/proc/")]
    assert path_stat(answer.headers)["name"] == "/"


def test_absent_objects(files):
    short = files.container
    for answer in (files.get("/data/missing"), files.put("/data/missing", tarball(*TREE))):
        assert answer.status == 404
        assert answer.message == f"Could not find the file /data/missing in container {short}"
    assert files.head("/data/missing").status == 404
    for answer in (files.get(""), files.put("", b"")):
        assert (answer.status, answer.message) == (400, "bad parameter: path cannot be empty")
    assert files.head("").status == 400
    assert files.get("/bin/busybox/").message == "lstat /bin/busybox/: not a directory"
    assert files.get("/bin/busybox/").status == 400
    answer = files.put("/bin/busybox", tarball(*TREE))
    assert (answer.status, answer.message) == (400, "extraction point is not a directory")
    absent = Files(type("E", (), {"api": files.api}), "absent")
    for answer in (absent.get("/"), absent.put("/", b"")):
        assert (answer.status, answer.message) == (404, "No such container: absent")


def test_writing_to_a_read_only_mount_is_refused(files):
    answer = files.put("/locked", tarball(*TREE))
    assert (answer.status, answer.message) == (400, "mounted volume is marked read-only")
    # The mount is not the path itself, but on the way to it.
    answer = files.put("/", tarball(entry("locked/x", b"x")))
    assert answer.status == 400
    assert "read-only file system" in answer.message


@pytest.mark.parametrize("start", [True, False])
def test_a_read_only_root_is_refused_and_its_volumes_are_not(shared_engine, start):
    engine = shared_engine
    container = engine.create(*SLEEP, host={"ReadonlyRootfs": True, "Binds": ["archived2:/vol"]})
    if start:
        engine.api.post(f"/containers/{container}/start")
    files = Files(engine, container)
    answer = files.put("/etc", tarball(*TREE))
    assert (answer.status, answer.message) == (400, "container rootfs is marked read-only")
    assert files.put("/vol", tarball(*TREE)).status == 200
    assert files.read("/vol/up/file.txt") == b"uploaded\n"
    engine.remove(container)
    engine.api.delete("/volumes/archived2")


def test_copied_files_are_seen_inside(shared_engine):
    engine = shared_engine
    files = Files(engine, engine.create(*SLEEP, host={"Binds": ["archived2:/vol"]}))
    assert files.put("/", tarball(entry("data", kind="dir"))).status == 200
    assert files.put("/data", tarball(*TREE)).status == 200
    assert files.put("/vol", tarball(*TREE)).status == 200
    assert engine.api.post(f"/containers/{files.container}/start").status in (204, 304)
    made = engine.api.post(
        f"/containers/{files.container}/exec",
        {"Cmd": ["cat", "/data/up/file.txt", "/vol/up/link"], "AttachStdout": True},
    ).json["Id"]
    out = engine.api.post(f"/exec/{made}/start", {"Detach": False}).body
    assert out.count(b"uploaded\n") == 2
    engine.remove(files.container)
    engine.api.delete("/volumes/archived2")


@pytest.mark.parametrize(
    "pack", [gzip.compress, bz2.compress, lzma.compress], ids=lambda f: f.__module__
)
def test_compressed_archives_are_inflated(files, pack):
    assert files.put("/data", pack(tarball(*TREE))).status == 200
    assert files.read("/data/up/file.txt") == b"uploaded\n"


@pytest.mark.skipif(not shutil.which("zstd"), reason="no zstd")
def test_zstd_is_inflated(files):
    packed = subprocess.run(["zstd", "-c"], input=tarball(*TREE), check=True, capture_output=True)
    assert files.put("/data", packed.stdout).status == 200
    assert files.read("/data/up/file.txt") == b"uploaded\n"


def test_the_response_is_compressed_for_clients_that_accept_it(files):
    assert files.put("/data", tarball(*TREE)).status == 200
    answer = files.get("/data/up", **{"Accept-Encoding": "gzip, deflate"})
    assert answer.headers["content-encoding"] == "gzip"
    assert list(members(gzip.decompress(answer.body))) == ["up", "up/file.txt", "up/link"]
    assert "content-encoding" not in files.get("/data/up").headers
    plain = files.get("/data/up", **{"Accept-Encoding": "gzip;q=0, identity"})
    assert "content-encoding" not in plain.headers


def test_directories_and_files_do_not_replace_each_other_if_forbidden(files):
    assert files.put("/data", tarball(entry("d", kind="dir"), entry("f", b"x"))).status == 200
    for name, kind, words in (
        ("d", "", 'cannot overwrite directory "d" with non-directory "/data"'),
        ("f", "dir", 'cannot overwrite non-directory "f" with directory "/data"'),
    ):
        archive = tarball(entry(name, kind=kind))
        answer = files.put("/data", archive, "&noOverwriteDirNonDir=1")
        assert (answer.status, answer.message) == (400, words)
        assert files.put("/data", archive).status == 200
    assert path_stat(files.head("/data/d").headers)["mode"] < 1 << 31
    assert path_stat(files.head("/data/f").headers)["mode"] >= 1 << 31


def test_the_extraction_point_itself_stays_as_it_is(files):
    before = path_stat(files.head("/data").headers)["mode"]
    assert files.put("/data", tarball(entry("./", kind="dir", mode=0o700, uid=5))).status == 200
    assert path_stat(files.head("/data").headers)["mode"] == before


def test_owners_are_the_archives_or_the_containers(engine):
    passwd = tarball(
        entry("etc/passwd", b"root:x:0:0::/:/bin/sh\napp:x:1234:2345::/:/bin/sh\n"),
        entry("etc/group", b"root:x:0:\napp:x:2345:\n"),
    )
    for user, expected in (("", (7, 8)), ("app", (1234, 2345)), ("55:66", (55, 66))):
        container = engine.create(*SLEEP, User=user)
        files = Files(engine, container)
        assert files.put("/", passwd).status == 200
        for options, owner in (("", (7, 8)), ("&copyUIDGID=1", expected)):
            assert files.put("/tmp", tarball(*TREE), options).status == 200
            found = members(files.get("/tmp/up").body)["up/file.txt"]
            assert (found.uid, found.gid) == owner
    files = Files(engine, engine.create(*SLEEP, User="nobody-there"))
    answer = files.put("/tmp", tarball(*TREE), "&copyUIDGID=1")
    assert answer.status == 400
    assert "unable to find user nobody-there" in answer.message


@pytest.mark.parametrize(
    "archive",
    [
        tarball(entry("../escaped", b"x")),
        tarball(entry("a/../../escaped", b"x")),
        tarball(entry("l", kind="link", linkname="/../../.."), entry("l/../../escaped", b"x")),
        tarball(entry("h", kind="hard", linkname="../../../../../etc/shadow")),
        tarball(entry("h", kind="hard", linkname="nothing")),
        b"this is no archive",
        b"\x1f\x8b\x08 nor is this",
        b"\x28\xb5\x2f\xfd neither",
        tarball(*TREE)[:700],
        b"\xff" * 2000,
    ],
    ids=["up", "up-later", "by-link", "hard", "hard-gone", "text", "gzip", "zstd", "cut", "noise"],
)
def test_hostile_archives_are_refused(files, archive):
    answer = files.put("/data", archive)
    assert answer.status == 400, answer.body
    assert answer.message
    assert files.head("/escaped").status == 404
    assert not Path("/escaped").exists()


def test_links_in_an_archive_lead_nowhere_else(files, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    archive = tarball(
        entry("out", kind="link", linkname=str(outside)),
        entry("out/file", b"x"),
        entry("up", kind="link", linkname="../../../../../../.."),
        entry("up/climbed", b"x"),
    )
    assert files.put("/data", archive).status == 200
    assert not list(outside.iterdir())
    assert not Path("/climbed").exists()
    assert files.head("/climbed").status == 404
    assert files.head("/data/climbed").status == 200


def test_nothing_at_all_is_an_empty_archive(files):
    assert files.put("/data", b"").status == 200
    assert files.put("/nowhere", b"").status == 404


def test_names_that_are_no_text_survive(files):
    name = b"\xff\xfe caf\xe9".decode("utf-8", "surrogateescape")
    assert files.put("/data", tarball(entry(name, b"1"), entry("日本" * 40, b"2"))).status == 200
    found = members(files.get("/data/.").body)
    assert f"./{name}" in found
    assert "./" + "日本" * 40 in found


def test_events_tell_of_it(shared_engine, files):
    engine = shared_engine
    since = time.time()
    files.put("/data", tarball(*TREE))
    files.get("/data/up")
    files.head("/data/up")
    files.get("/nowhere")
    lines = engine.api.get(
        f"/events?since={since}&until={time.time()}&filters="
        + quote(json.dumps({"container": [files.container]}))
    ).body.splitlines()
    actions = [line.split(b'"Action":"')[1].split(b'"')[0].decode() for line in lines]
    assert [a for a in actions if a in ("extract-to-dir", "archive-path")] == [
        "extract-to-dir", "archive-path",
    ]  # fmt: skip


def test_a_link_swapped_while_copying_leads_nowhere(engine, tmp_path):
    """A container turns a directory of its volume into a link to the host's root, and back."""
    outside = Path("/tmp/palan-archive-race")
    shutil.rmtree(outside, ignore_errors=True)
    outside.mkdir()
    (outside / "secret").write_text("of the host\n")
    script = (
        "mkdir /vol/real; echo inside >/vol/real/secret; cd /vol; while :; do "
        f"ln -s {outside} link; mv -T link door 2>/dev/null; rm -rf door; mkdir door; "
        "echo inside >door/secret; rm -rf door; done"
    )
    container = engine.run("sh", "-c", script, host={"Binds": [f"{tmp_path}:/vol"]})
    files = Files(engine, container)
    begun = time.monotonic()
    answers: list[Answer] = []
    # Until both kinds of places were met, which takes longer on a busy machine.
    while time.monotonic() < begun + 4 or (
        not {200, 404} <= {answer.status for answer in answers} and time.monotonic() < begun + 60
    ):
        answers += [
            files.get("/vol/door/secret"),
            files.put("/vol/door", tarball(entry("planted", b"x"))),
        ]
    assert not any(b"of the host" in answer.body for answer in answers)
    assert not [answer for answer in answers if answer.status not in (200, 400, 404, 409)]
    assert {answer.status for answer in answers} >= {200, 404}
    assert [path.name for path in outside.iterdir()] == ["secret"]
    engine.remove(container)
    shutil.rmtree(outside)


def test_a_client_that_goes_away_leaves_nothing(own_engine):
    engine = own_engine
    container = engine.create(*SLEEP)
    files = Files(engine, container)
    big = tarball(entry("big", bytes(8 << 20)))
    assert files.put("/tmp", big).status == 200
    before = settled_footprint(engine)
    for head, body in (
        (b"GET /containers/%s/archive?path=/tmp HTTP/1.1\r\nHost: x\r\n\r\n", b""),
        (
            b"PUT /containers/%s/archive?path=/ HTTP/1.0\r\nContent-Length: 9999999\r\n\r\n",
            tarball(entry("half", bytes(1 << 20)))[:-70000],
        ),
    ):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(engine.socket))
            client.sendall(head % container.encode() + body)
            if not body:
                client.recv(100)
            time.sleep(0.3)
    # The container was protected while it was read, and no longer is.
    assert engine.api.post(f"/containers/{container}/start", timeout=10).status == 204
    engine.api.post(f"/containers/{container}/kill")
    engine.wait(container)
    after = settled_footprint(engine)
    assert after.mounts == before.mounts
    assert after.processes == before.processes


def test_a_killed_engine_leaves_nothing(own_engine):
    engine = own_engine
    container = engine.create(*SLEEP)
    files = Files(engine, container)
    assert files.put("/tmp", tarball(entry("big", bytes(8 << 20)))).status == 200
    before = settled_footprint(engine)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(engine.socket))
        client.sendall(
            b"GET /containers/%s/archive?path=/tmp HTTP/1.1\r\nHost: x\r\n\r\n" % container.encode()
        )
        client.recv(100)
        engine.kill()
    engine.start()
    assert_same_footprint(engine, before)
    assert files.head("/tmp/big").status == 200


def test_many_at_once_and_one_that_runs_to_its_end(engine):
    container = engine.run(*SLEEP)
    files = Files(engine, container)
    failures = []

    def work(number: int) -> None:
        try:
            data = str(number).encode() * 1000
            for turn in range(3):
                name = f"f{number}-{turn}"
                assert files.put("/tmp", tarball(entry(name, data))).status == 200
                assert files.read(f"/tmp/{name}") == data
        except Exception as error:  # noqa: BLE001 - for the main thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
