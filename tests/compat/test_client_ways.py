"""Connections to an engine: TLS, ssh with ``dial-stdio``, contexts; and the ``palan`` command."""

import asyncio
import hashlib
import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.engine import TestEngine

import palan
from palan.client import errors


pytestmark = pytest.mark.root

ROOT = Path(__file__).parents[2]

SSH = """#!/bin/sh
# Stands for ssh: the last argument is the command, the host before it must be ours.
echo "$@" >> {log}
case "$*" in
  *"-O exit"*) exit 0;;
  *"-- far "*) ;;
  *) echo "ssh: Could not resolve hostname" >&2; exit 255;;
esac
for last; do :; done
eval "$last"
"""


@pytest.fixture
def ssh(tmp_path: Path, engine: TestEngine, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a fake program ``ssh``, with only ``palan`` at the remote end."""
    directory = tmp_path / "bin"
    directory.mkdir()
    log = tmp_path / "log"
    (directory / "ssh").write_text(SSH.format(log=log))
    (directory / "palan").write_text(
        f"#!/bin/sh\nexport DOCKER_HOST={engine.url} PYTHONPATH={ROOT}/src\n"
        f'exec {sys.executable} -m palan "$@"\n'
    )
    for program in directory.iterdir():
        program.chmod(0o755)
    for name in ("sh", "env"):
        (directory / name).symlink_to(f"/usr/bin/{name}")
    monkeypatch.setenv("PATH", str(directory))
    return log


def test_ssh(ssh: Path, engine: TestEngine) -> None:
    engine.run("sleep", "600", name="there")
    with palan.Client("ssh://me@far:2222", environ={}) as docker:
        assert docker.system.ping() == "OK"
        assert docker.containers.list()[0].names == ["/there"]
        # The half-close passes through two processes and two sockets.
        assert docker.exec.run("there", ["cat"], stdin=b"over there").stdout == b"over there"
    (first, *_) = ssh.read_text().splitlines()
    assert "-l me -p 2222 -- far" in first
    assert "ControlMaster=auto" in first


async def test_ssh_async(ssh: Path, engine: TestEngine) -> None:
    async with palan.AsyncClient(f"ssh://far{engine.socket}", environ={}) as docker:
        assert await docker.system.ping() == "OK"
        await asyncio.gather(*(docker.containers.list() for _ in range(3)))
    said = await asyncio.to_thread(ssh.read_text)
    assert f"--host unix://{engine.socket}" in said


@pytest.mark.usefixtures("ssh")
def test_ssh_to_nowhere() -> None:
    with palan.Client("ssh://nowhere", environ={}) as docker:
        with pytest.raises(errors.ConnectFailed, match="Could not resolve hostname"):
            docker.system.ping()


# ---- TLS ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=directory)

    openssl(
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca-key.pem", "-out", "ca.pem",
        "-days", "2", "-subj", "/CN=authority", "-addext", "keyUsage=critical,keyCertSign",
    )  # fmt: skip
    for name, extra in (
        ("server", "subjectAltName=IP:127.0.0.1"),
        ("client", "keyUsage=digitalSignature"),
    ):
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}-key.pem",
                "-out", f"{name}.csr", "-subj", f"/CN={name}")  # fmt: skip
        (directory / "extra").write_text(extra)
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca-key.pem",
                "-CAcreateserial", "-days", "2", "-out", f"{name}.pem",
                "-extfile", "extra")  # fmt: skip
    (directory / "cert.pem").write_bytes((directory / "client.pem").read_bytes())
    (directory / "key.pem").write_bytes((directory / "client-key.pem").read_bytes())
    return directory


@pytest.fixture(scope="module")
def secure(certificates: Path) -> Iterator[str]:
    engine = TestEngine(
        "-H", "tcp://127.0.0.1:23761", "--tlsverify", "--tlscacert", str(certificates / "ca.pem"),
        "--tlscert", str(certificates / "server.pem"),
        "--tlskey", str(certificates / "server-key.pem"),
    )  # fmt: skip
    try:
        engine.start()
        engine.load_image()
        yield "tcp://127.0.0.1:23761"
    finally:
        engine.close()


def variables(certificates: Path, home: Path) -> dict[str, str]:
    return {
        "HOME": str(home), "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(certificates),
    }  # fmt: skip


def test_tls(secure: str, certificates: Path, tmp_path: Path) -> None:
    environ = {**variables(certificates, tmp_path), "DOCKER_HOST": secure}
    data = os.urandom(1 << 20)
    with palan.Client(environ=environ) as docker:
        assert docker.system.ping() == "OK"
        # Many bytes in both directions, and the end of one direction within TLS.
        assert docker.containers.run("busybox:latest", ["cat"], stdin=data).stdout == data


async def test_tls_async(secure: str, certificates: Path, tmp_path: Path) -> None:
    async with palan.AsyncClient(secure, environ=variables(certificates, tmp_path)) as docker:
        data = os.urandom(1 << 20)
        result = await docker.containers.run("busybox:latest", ["cat"], stdin=data)
        assert result.stdout == data


def test_tls_of_a_context(secure: str, certificates: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256(b"safe").hexdigest()
    meta = tmp_path / ".docker" / "contexts" / "meta" / digest
    tls = tmp_path / ".docker" / "contexts" / "tls" / digest / "docker"
    meta.mkdir(parents=True)
    tls.mkdir(parents=True)
    (meta / "meta.json").write_text(
        json.dumps({"Name": "safe", "Endpoints": {"docker": {"Host": secure}}})
    )
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (tls / name).write_bytes((certificates / name).read_bytes())
    with palan.Client(environ={"HOME": str(tmp_path), "DOCKER_CONTEXT": "safe"}) as docker:
        assert docker.system.ping() == "OK"


def test_tls_with_strangers(secure: str, certificates: Path, tmp_path: Path) -> None:
    with (
        palan.Client("https://127.0.0.1:23761", environ={"HOME": str(tmp_path)}) as docker,
        pytest.raises(errors.ConnectFailed, match="certificate"),
    ):
        docker.system.ping()
    (tmp_path / "ca.pem").write_bytes((certificates / "ca.pem").read_bytes())
    with palan.Client(secure, environ=variables(tmp_path, tmp_path)) as docker:
        with pytest.raises(errors.TransportError):
            docker.system.ping()


# ---- the command -------------------------------------------------------------------


def command(engine: TestEngine, *words: str, data: bytes = b"") -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "palan", *words],
        check=False, capture_output=True, input=data, timeout=60,
        env={**os.environ, "DOCKER_HOST": engine.url},
    )  # fmt: skip
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_everyday_verbs(engine: TestEngine, tmp_path: Path) -> None:
    def ok(*words: str, data: bytes = b"") -> str:
        code, out, err = command(engine, *words, data=data)
        assert code == 0, (words, out, err)
        return out

    assert ok("run", "--rm", "-i", "busybox", "cat", data=b"typed") == "typed"
    assert command(engine, "run", "--rm", "busybox", "sh", "-c", "echo e >&2; exit 3") == (
        3, "", "e\n",
    )  # fmt: skip
    assert command(engine, "run", "--rm", "busybox", "nonsense")[0] == 127
    assert command(engine, "run", "--nonsense", "busybox")[0] == 125
    identity = ok("run", "-d", "--name", "web", "-e", "A=b", "busybox", "sh", "-c",
                  "echo out; sleep 600").strip()  # fmt: skip
    assert ok("ps", "--format", "{{.Names}} {{.State}}") == "web running\n"
    assert identity[:12] in ok("ps")
    assert ok("ps", "-q", "--no-trunc").strip() == identity
    assert ok("exec", "-i", "web", "sh", "-c", "echo $A; cat", data=b"in") == "b\nin"
    assert command(engine, "exec", "web", "false")[0] == 1
    assert ok("logs", "web") == "out\n"
    assert ok("inspect", "-f", "{{.State.Status}} {{len .Config.Cmd}}", "web") == "running 3\n"
    assert json.loads(ok("inspect", "web"))[0]["Id"] == identity
    (tmp_path / "file").write_text("copied")
    ok("cp", str(tmp_path / "file"), "web:/tmp/")
    ok("cp", "web:/tmp/file", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == "copied"
    assert "sleep 600" in ok("top", "web")
    assert "web" in ok("stats", "--no-stream", "web")
    assert ok("restart", "-t", "0", "web") == "web\n"
    assert ok("stop", "-t", "0", "web") == "web\n"
    assert ok("start", "web") == "web\n"
    assert ok("kill", "web") == "web\n"
    assert ok("wait", "web") == "137\n"
    assert "container die" in ok("events", "--since", "10m", "--until", "0s")
    assert ok("rm", "-v", "web") == "web\n"
    assert "busybox" in ok("images")
    ok("tag", "busybox", "other:1")
    assert "Untagged: other:1" in ok("rmi", "other:1")
    assert ok("volume", "create", "kept").strip() == "kept"
    assert "kept" in ok("volume", "ls")
    assert ok("volume", "rm", "kept").strip() == "kept"
    assert "bridge" in ok("network", "ls")
    assert command(engine, "inspect", "nobody")[:2] == (1, "[]\n")
    assert "web" not in ok("__complete", "rm", "")


def test_disk_usage_and_prune(engine: TestEngine) -> None:
    command(engine, "create", "--name", "old", "busybox", "true")
    command(engine, "network", "create", "unused")
    before = json.loads(command(engine, "system", "df", "--format", "json")[1].splitlines()[1])
    assert (before["Type"], before["TotalCount"], before["Active"]) == ("Containers", "1", "0")
    code, out, _ = command(engine, "system", "prune", data=b"n\n")
    assert (code, "all dangling images" in out) == (1, True)
    code, out, err = command(engine, "system", "prune", "-f", "--volumes")
    assert (code, err) == (0, "")
    assert "Deleted Containers:\n" in out
    assert "Deleted Networks:\nunused\n" in out
    assert command(engine, "ps", "-aq")[1] == ""
    assert engine.url in command(engine, "version")[1]


@pytest.mark.usefixtures("docker")
def test_docker_knows_the_contexts_that_palan_makes(engine: TestEngine, tmp_path: Path) -> None:
    environ = {**os.environ, "DOCKER_CONFIG": str(tmp_path / "shared")}
    environ.pop("DOCKER_HOST", None)

    def run(*words: str) -> str:
        done = subprocess.run(words, check=True, capture_output=True, text=True, env=environ)
        return done.stdout

    palan_ = (sys.executable, "-m", "palan", "context")
    run(*palan_, "create", "ours", "--docker", f"host={engine.url}", "--description", "made here")
    run(*palan_, "use", "ours")
    assert run("docker", "context", "show") == "ours\n"
    assert run("docker", "version", "-f", "{{.Server.APIVersion}}") != ""
    theirs, ours = (
        json.loads(run(*words, "inspect", "ours")) for words in (("docker", "context"), palan_)
    )
    assert theirs == ours
    run("docker", "context", "create", "theirs", "--docker", f"host={engine.url}")
    run("docker", "context", "use", "theirs")
    assert run(*palan_, "show") == "theirs\n"
    assert run(sys.executable, "-m", "palan", "ps", "-q") == ""


def test_the_raw_door_of_the_command(engine: TestEngine) -> None:
    assert command(engine, "api", "GET", "/containers/json?all=1") == (0, "[]\n", "")
    code, out, _ = command(engine, "api", "POST", "/volumes/create", "-i", "-d", '{"Name": "raw"}')
    assert code == 0
    assert out.startswith("HTTP/1.1 201 Created\n")
    assert '"Name":"raw"' in out
    assert command(engine, "api", "DELETE", "/volumes/raw")[0] == 0
    code, out, _ = command(engine, "api", "GET", "/containers/none/json")
    assert (code, json.loads(out)) == (22, {"message": "No such container: none"})
    identity = engine.create("cat", OpenStdin=True, StdinOnce=True)
    stream = subprocess.Popen(
        [sys.executable, "-m", "palan", "api", "--hijack", "POST",
         f"/containers/{identity}/attach?stream=1&stdin=1&stdout=1"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "DOCKER_HOST": engine.url},
    )  # fmt: skip
    time.sleep(1)
    engine.api.post(f"/containers/{identity}/start")
    out_bytes, _ = stream.communicate(b"typed", timeout=20)
    assert out_bytes == b"typed"


def in_a_terminal(engine: TestEngine, *words: str, typed: bytes) -> tuple[int, bytes]:
    """Run the command in a terminal, type keys, and return its exit code and output."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["DOCKER_HOST"] = engine.url
        os.execv(sys.executable, [sys.executable, "-m", "palan", *words])
    os.write(terminal, typed)
    shown = b""
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:
            break
        if not data:
            break
        shown += data
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), shown


def test_a_terminal(engine: TestEngine) -> None:
    status, shown = in_a_terminal(
        engine, "run", "--rm", "-it", "busybox", "sh", typed=b"tty; echo $((40 + 2)); exit 7\n"
    )
    assert status == 7
    assert b"/dev/pts/0" in shown
    assert b"42" in shown


def test_the_keys_that_detach_from_a_terminal(engine: TestEngine) -> None:
    name = command(engine, "run", "-dit", "busybox", "cat")[1].strip()
    keys = ("--detach-keys", "ctrl-a,x")  # a terminal that is not raw yet would consume ctrl-q
    for words in (("attach", *keys, name), ("exec", *keys, "-it", name, "cat")):
        ended, shown = in_a_terminal(engine, *words, typed=b"a\x01b\x01x")
        assert (ended, b"read escape sequence" in shown) == (1, True), shown
    assert command(engine, "inspect", "-f", "{{.State.Running}}", name)[1] == "true\n"
    assert command(engine, "rm", "-f", name)[0] == 0
