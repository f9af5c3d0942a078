"""The docker CLI with images: list, inspect, tag, remove, import, load, save, history, prune."""

import io
import json
import tarfile
from pathlib import Path

import pytest
from tests.support.docker_cli import Docker


pytestmark = pytest.mark.root


@pytest.fixture(autouse=True)
def _without_other_images(docker: Docker):
    yield
    docker("container", "prune", "-f")
    keep = docker.inspect("busybox", "{{.Id}}")
    for name in docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").lines:
        if name not in ("busybox:latest", "<none>:<none>"):
            docker("rmi", name)
    docker("image", "prune", "-f")
    assert docker("image", "ls", "-aq", "--no-trunc").lines == [keep]


def test_list_and_inspect(docker: Docker):
    assert docker("images", "--format", "{{.Repository}}:{{.Tag}}").lines == ["busybox:latest"]
    identity = docker("images", "-q", "--no-trunc").word
    assert docker.inspect("busybox", "{{.Id}}") == identity
    assert docker("image", "inspect", "--format", "{{.Os}} {{.Config.Cmd}}", "busybox").word == (
        "linux [sh]"
    )
    assert docker("images", "busybox:nosuch", "-q").out == ""
    assert docker("images", "--filter", "reference=busy*", "-q").word
    assert docker("images", "--filter", "dangling=true", "-q").out == ""
    assert docker("images", "--digests").out
    assert "No such image: nosuch" in docker("image", "inspect", "nosuch", code=1).err
    assert "CREATED BY" in docker("history", "busybox").out
    assert json.loads(docker("image", "ls", "--format", "json").out)["Repository"] == "busybox"


def test_tag_and_remove(docker: Docker):
    docker("tag", "busybox", "example.org/deep/box:v1")
    docker("tag", docker("images", "-q", "busybox").word, "box")
    assert "Untagged: box:latest" in docker("rmi", "box").out
    assert docker("run", "--rm", "example.org/deep/box:v1", "echo", "ok").out == "ok\n"
    docker("run", "--name", "web", "example.org/deep/box:v1", "true")
    docker("rmi", "example.org/deep/box:v1", code=0)  # another tag remains
    assert "No such image" in docker("rmi", "nosuch", code=1).err
    assert "invalid reference format" in docker("tag", "busybox", "Bad_Name:x", code=1).err
    err = docker("rmi", "busybox", code=1).err
    assert "conflict" in err
    assert docker("rm", "web").word == "web"


def test_import_with_changes(docker: Docker, tmp_path: Path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo("hello")
        entry.size = 3
        tar.addfile(entry, io.BytesIO(b"hi\n"))
    data = buffer.getvalue()
    identity = docker(
        "import", "--change", 'CMD ["/x"]', "--change", "ENV A=b", "-m", "made here", "-",
        "made:v1", stdin=data,
    ).word  # fmt: skip
    assert identity.startswith("sha256:")
    assert docker.inspect("made:v1", "{{.Config.Cmd}} {{.Config.Env}} {{.Comment}}") == (
        "[/x] [A=b] made here"
    )
    file = tmp_path / "x.tar"
    file.write_bytes(data)
    docker("import", str(file), "fromfile")
    docker("import", "-", "bad", stdin=b"this is no archive", code=1)
    assert docker("images", "-q", "bad").out == ""


def test_save_and_load(docker: Docker, tmp_path: Path):
    docker("tag", "busybox", "saved:v1")
    file = tmp_path / "image.tar"
    docker("save", "-o", str(file), "saved:v1")
    with tarfile.open(file) as tar:
        assert "manifest.json" in tar.getnames()
    before = docker.inspect("saved:v1", "{{.Id}}")
    docker("rmi", "saved:v1")
    out = docker("load", "-i", str(file)).out
    assert "Loaded image: saved:v1" in out
    assert docker.inspect("saved:v1", "{{.Id}}") == before
    assert docker("run", "--rm", "saved:v1", "echo", "ok").out == "ok\n"
    data = docker.binary("save", "busybox", "saved:v1")
    assert "saved:v1" in docker("load", stdin=data).out
    assert docker("load", "-q", stdin=data).out
    docker("load", stdin=b"this is no archive" * 100, code=1)
    assert "nosuch" in docker("save", "-o", str(tmp_path / "y"), "nosuch", code=1).err


def test_a_truncated_archive_is_refused(docker: Docker):
    data = docker.binary("save", "busybox")
    docker("load", stdin=data[: len(data) // 2], code=1)
    assert docker("run", "--rm", "busybox", "echo", "ok").out == "ok\n"


def test_pull_from_nowhere_fails_soon_and_says_why(docker: Docker):
    done = docker("pull", "127.0.0.1:9/nosuch/image:v1", code=1, timeout=20)
    assert "127.0.0.1:9" in done.err
    done = docker("run", "--rm", "127.0.0.1:9/nosuch/image:v1", code=125, timeout=20)
    assert "127.0.0.1:9" in done.err


def test_prune(docker: Docker):
    docker("tag", "busybox", "keep:v1")
    out = docker("image", "prune", "-f").out
    assert "Total reclaimed space: 0B" in out
    docker("run", "-d", "--name", "user", "busybox", "sleep", "60")
    docker("image", "prune", "-a", "-f", "--filter", "label=nosuch")
    assert docker("images", "-q", "keep:v1").word
    docker("rm", "-f", "user")
