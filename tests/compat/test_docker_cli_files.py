"""``docker cp`` in every form, and ``docker volume``, as users type them."""

import io
import os
import tarfile

import pytest
from tests.support.tar import TAR, entry, members, tarball


pytestmark = pytest.mark.root


@pytest.fixture(params=["running", "created"])
def box(docker, request):
    """A container with an empty directory /srv."""
    api = docker.engine.api
    container = docker.engine.create("sleep", "600")
    if request.param == "running":
        api.post(f"/containers/{container}/start")
    target = f"/containers/{container}/archive?path=/"
    assert api.call("PUT", target, tarball(entry("srv", kind="dir")), headers=TAR).status == 200
    return container


def listing(docker, container: str, path: str = "/srv/.") -> dict[str, tarfile.TarInfo]:
    return members(docker.binary("cp", f"{container}:{path}", "-"))


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "tree/sub").mkdir(parents=True)
    (tmp_path / "tree/file").write_text("one\n")
    (tmp_path / "tree/sub/deep").write_text("two\n")
    (tmp_path / "tree/link").symlink_to("file")
    return tmp_path / "tree"


def test_a_file_goes_into_a_directory_or_gets_another_name(docker, box, tree):
    docker("cp", str(tree / "file"), f"{box}:/srv")
    docker("cp", str(tree / "file"), f"{box}:/srv/")
    docker("cp", str(tree / "file"), f"{box}:/srv/other")
    assert set(listing(docker, box)) == {".", "./file", "./other"}
    docker("cp", str(tree / "sub/deep"), f"{box}:/srv/other")
    assert docker.binary("cp", f"{box}:/srv/other", "-").count(b"two\n") == 1


def test_a_directory_goes_into_one_or_becomes_one(docker, box, tree):
    docker("cp", str(tree), f"{box}:/srv")
    assert set(listing(docker, box)) == {
        ".", "./tree", "./tree/file", "./tree/link", "./tree/sub", "./tree/sub/deep",
    }  # fmt: skip
    docker("cp", str(tree), f"{box}:/srv/new")
    docker("cp", f"{tree}/.", f"{box}:/srv/tree/sub")
    found = listing(docker, box)
    assert {"./new/file", "./new/sub/deep", "./tree/sub/file", "./tree/sub/sub/deep"} <= set(found)
    assert found["./new/link"].linkname == "file"


def test_files_come_out_to_directories_and_names(docker, box, tree, tmp_path):
    docker("cp", f"{tree}/.", f"{box}:/srv")
    out = tmp_path / "out"
    out.mkdir()
    docker("cp", f"{box}:/srv/file", str(out))
    docker("cp", f"{box}:/srv/file", str(out / "name"))
    docker("cp", f"{box}:/srv", str(out))
    docker("cp", f"{box}:/srv", str(out / "new"))
    docker("cp", f"{box}:/srv/.", str(out / "name2"))
    for path in ("file", "name", "srv/file", "new/file", "name2/file"):
        assert (out / path).read_text() == "one\n"
    for path in ("srv/sub/deep", "new/sub/deep", "name2/sub/deep"):
        assert (out / path).read_text() == "two\n"
    assert (out / "srv/link").readlink().name == "file"


def test_links_are_copied_or_followed(docker, box, tree, tmp_path):
    docker("cp", f"{tree}/.", f"{box}:/srv")
    docker("cp", f"{box}:/srv/link", str(tmp_path / "as-link"))
    docker("cp", "-L", f"{box}:/srv/link", str(tmp_path / "as-file"))
    assert (tmp_path / "as-link").is_symlink()
    assert (tmp_path / "as-file").read_text() == "one\n"
    docker("cp", str(tree / "link"), f"{box}:/srv/kept")
    docker("cp", "-L", str(tree / "link"), f"{box}:/srv/followed")
    found = listing(docker, box)
    assert found["./kept"].issym()
    assert found["./followed"].isreg()


def test_a_link_to_a_directory_is_a_place_to_copy_to(docker, box, tree):
    docker("cp", f"{tree}/.", f"{box}:/srv")
    archive = tarball(
        entry("to-sub", kind="link", linkname="/srv/sub"),
        entry("to-file", kind="link", linkname="file"),
    )
    docker("cp", "-", f"{box}:/srv", stdin=archive)
    docker("cp", str(tree / "file"), f"{box}:/srv/to-sub")
    docker("cp", str(tree / "file"), f"{box}:/srv/to-sub/again")
    docker("cp", str(tree / "sub/deep"), f"{box}:/srv/to-file")
    assert {"./sub/file", "./sub/again"} <= set(listing(docker, box))
    assert b"two\n" in docker.binary("cp", f"{box}:/srv/file", "-")


def test_owners_are_kept_with_and_without_a(docker, box, tree):
    os.chown(tree / "file", 1234, 2345)
    docker("cp", str(tree / "file"), f"{box}:/srv/plain")
    docker("cp", "-a", str(tree / "file"), f"{box}:/srv/all")
    found = listing(docker, box)
    assert (found["./plain"].uid, found["./plain"].gid) == (1234, 2345)
    # With -a they belong to the container's user, which is not set.
    assert (found["./all"].uid, found["./all"].gid) == (1234, 2345)


def test_archives_go_through_pipes(docker, box):
    docker("cp", "-", f"{box}:/srv", stdin=tarball(entry("piped", b"x" * 5000)))
    with tarfile.open(fileobj=io.BytesIO(docker.binary("cp", f"{box}:/srv/piped", "-"))) as tar:
        found = tar.extractfile("piped")
        assert found is not None
        assert found.read() == b"x" * 5000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("cp", "{box}:/nowhere", "/tmp/palan-cp"), "Could not find the file /nowhere"),
        (("cp", "/bin/busybox", "{box}:/nowhere/deep"), "Could not find the file /nowhere"),
        (("cp", "/usr/share/doc", "{box}:/etc/passwd"), "cannot copy directory"),
        (("cp", "absent:/x", "/tmp/palan-cp"), "No such container: absent"),
        (("cp", "/bin/busybox", "{box}:/etc/passwd/"), "no such directory"),
    ],
)
def test_copies_that_fail_have_a_message(docker, box, arguments, words):
    done = docker(*(argument.format(box=box) for argument in arguments), code=1)
    assert words.lower() in done.err.lower()


# ---- docker volume --------------------------------------------------------------


def test_volumes_from_creation_to_removal(docker):
    assert docker("volume", "create", "--label", "a=b", "vol-cli").word == "vol-cli"
    anonymous = docker("volume", "create").word
    assert len(anonymous) == 64
    assert docker("volume", "inspect", "--format", "{{.Labels.a}} {{.Driver}}", "vol-cli").word == (
        "b local"
    )
    names = docker("volume", "ls", "-q", "--filter", "label=a").lines
    assert names == ["vol-cli"]
    docker("run", "--rm", "-v", "vol-cli:/data", "busybox", "sh", "-c", "echo kept >/data/file")
    out = docker("run", "--rm", "-v", "vol-cli:/data:ro", "busybox", "cat", "/data/file")
    assert out.word == "kept"
    pruned = docker("volume", "prune", "-f").out
    assert anonymous in pruned
    assert "vol-cli" not in pruned
    holder = docker("create", "-v", "vol-cli:/data", "busybox").word
    done = docker("volume", "rm", "vol-cli", code=1)
    assert f"volume is in use - [{holder}]" in done.err
    docker("rm", holder)
    assert docker("volume", "rm", "vol-cli").word == "vol-cli"
    assert "no such volume" in docker("volume", "rm", "vol-cli", code=1).err
    docker("volume", "rm", "-f", "vol-cli")


def test_options_of_the_local_driver(docker):
    docker(
        "volume", "create", "--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=1m",
        "vol-mem",
    )  # fmt: skip
    out = docker("run", "--rm", "-v", "vol-mem:/mem", "busybox", "grep", " /mem ", "/proc/mounts")
    assert "size=1024k" in out.out
    docker("volume", "rm", "vol-mem")


def test_mount_flags(docker, tmp_path):
    (tmp_path / "file").write_text("host\n")
    docker("volume", "create", "vol-flags")
    docker(
        "run", "--rm", "-v", "vol-flags:/v", "busybox", "sh", "-c", "mkdir /v/sub; echo s >/v/sub/f"
    )
    for flag, command, expected in (
        (f"type=bind,source={tmp_path},target=/in,readonly", "cat /in/file", "host"),
        (f"type=bind,src={tmp_path}/new,dst=/in,bind-create-src=true", "ls -d /in", "/in"),
        ("type=volume,source=vol-flags,target=/in,volume-subpath=sub", "cat /in/f", "s"),
        ("type=volume,target=/in,volume-label=a=b", "ls -d /in", "/in"),
        ("type=tmpfs,target=/in,tmpfs-size=1m,tmpfs-mode=700", "stat -c %a /in", "700"),
        ("type=image,source=busybox,target=/in,image-subpath=bin", "ls /in/busybox", "/in/busybox"),
    ):
        if "bind-create-src" in flag and "bind-create-src" not in docker("run", "--help").out:
            continue  # the command is older than the flag
        out = docker("run", "--rm", "--mount", flag, "busybox", "sh", "-c", command)
        assert out.word == expected, flag
    docker("volume", "rm", "vol-flags")
