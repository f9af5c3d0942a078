"""The docker CLI's streams: terminals, attach, exec, logs."""

import os
import re
import time

import pytest
from tests.support.crash import eventually
from tests.support.docker_cli import Docker, read_until


pytestmark = pytest.mark.root

DETACH = b"\x10\x11"  # ctrl-p ctrl-q


def test_terminal(docker: Docker):
    with docker.terminal("run", "--rm", "-it", "--name", "shell", "busybox", "sh") as terminal:
        terminal.expect("# ")
        terminal.type("tty; stty size\n")
        terminal.expect("/dev/pts/0")
        eventually(lambda: "31 97" in _size(docker, "shell"))
        terminal.resize(40, 120)
        eventually(lambda: "40 120" in _size(docker, "shell"))
        terminal.type("exit 6\n")
        terminal.ends(6)


def _size(docker: Docker, name: str) -> str:
    return docker("exec", name, "sh", "-c", "stty size < /proc/1/fd/0").out


def test_ctrl_c_at_a_terminal(docker: Docker):
    with docker.terminal("run", "--rm", "-it", "busybox", "sh") as terminal:
        terminal.expect("# ")
        terminal.type("sleep 60\n")
        time.sleep(0.2)
        terminal.type("\x03")
        terminal.expect("# ")
        terminal.type("echo code $?\n")
        terminal.expect("code 130")
        terminal.type("\x04")
        terminal.ends(0)


def test_tty_without_stdin(docker: Docker):
    out = docker("run", "--rm", "-t", "busybox", "sh", "-c", "tty; echo err >&2").out
    assert out == "/dev/pts/0\r\nerr\r\n"


def test_detach_keys_leave_it_running(docker: Docker):
    with docker.terminal("run", "-it", "--name", "shell", "busybox", "sh") as terminal:
        terminal.expect("# ")
        terminal.type(DETACH)
        terminal.ends(0)
    assert docker.inspect("shell", "{{.State.Running}}") == "true"
    with docker.terminal("attach", "shell") as terminal:
        terminal.type("echo he''re\n")
        terminal.expect("here")
        terminal.type(DETACH)
        assert "read escape sequence" in terminal.ends(1)
    with docker.terminal("attach", "--detach-keys", "ctrl-x,y", "shell") as terminal:
        terminal.type("echo ag''ain\n")
        terminal.expect("again")
        terminal.type(b"\x18y")
        terminal.ends(1)
    with docker.terminal("attach", "shell") as terminal:
        terminal.type("exit 4\n")
        terminal.ends(4)
    with docker.terminal("start", "-ai", "shell") as terminal:
        terminal.type("echo on''ce more\n")
        terminal.expect("once more")
        terminal.type("exit 2\n")
        terminal.ends(2)


def test_attach_without_stdin_and_several_at_once(docker: Docker):
    docker("run", "-d", "-i", "--name", "cat", "busybox", "cat")
    with (
        docker.background("attach", "--no-stdin", "cat") as reader,
        docker.background("attach", "cat") as writer,
    ):
        assert writer.stdin is not None
        time.sleep(0.3)
        writer.stdin.write(b"hello\n")
        read_until(writer, "hello\n")
        read_until(reader, "hello\n")
        docker("kill", "cat")
        assert reader.wait(10) == 137
        assert writer.wait(10) == 137


def test_end_of_stdin_reaches_an_attached_container(docker: Docker):
    docker("create", "-i", "--name", "cat", "busybox", "cat")  # with -d, stdin would stay open
    docker("start", "cat")
    assert docker("attach", "cat", stdin="all of it").out == "all of it"
    assert docker.inspect("cat", "{{.State.Running}}") == "false"


def test_attach_sig_proxy(docker: Docker):
    script = "trap 'echo caught; exit 3' TERM; while :; do echo tick; sleep 0.05; done"
    docker("run", "-d", "--name", "web", "busybox", "sh", "-c", script)
    with docker.background("attach", "--no-stdin", "--sig-proxy=false", "web") as process:
        read_until(process, "tick")
        process.terminate()
        time.sleep(0.1)
        process.kill()
    assert docker.inspect("web", "{{.State.Running}}") == "true"
    with docker.background("attach", "--no-stdin", "web") as process:
        read_until(process, "tick")
        process.terminate()
        read_until(process, "caught")
        assert process.wait(10) == 3


def test_attach_refusals(docker: Docker):
    docker("create", "--name", "made", "busybox")
    assert "cannot attach to a stopped container" in docker("attach", "made", code=1).err.lower()
    assert "No such container" in docker("attach", "nobody", code=1).err
    docker("run", "-d", "--name", "web", "busybox", "sleep", "60")
    docker("pause", "web")
    assert "paused" in docker("attach", "web", code=1).err
    docker("unpause", "web")


@pytest.fixture
def box(docker: Docker) -> Docker:
    docker("run", "-d", "--name", "box", "busybox", "sleep", "300")
    return docker


def test_exec_streams_and_codes(box: Docker):
    done = box("exec", "box", "sh", "-c", "echo out; echo err >&2; exit 9", code=9)
    assert (done.out, done.err) == ("out\n", "err\n")
    data = os.urandom(2_000_000)
    assert box.binary("exec", "-i", "box", "cat", stdin=data) == data
    assert box("exec", "-i", "box", "wc", "-c", stdin=data).word == "2000000"
    box("exec", "box", "sh", "-c", "kill -9 $$", code=137)
    err = box("exec", "box", "nosuchprogram", code=127)
    assert "executable file not found" in err.out + err.err
    done = box("exec", "box", "/etc/passwd", code=126)
    assert "permission denied" in done.out + done.err
    assert "No such container" in box("exec", "nobody", "true", code=1).err


def test_exec_options(box: Docker):
    script = "echo $A; pwd; id -un; id -gn; grep CapEff /proc/self/status"
    out = box(
        "exec", "-e", "A=b c", "-w", "/tmp", "-u", "app:extra", "box", "sh", "-c", script
    ).lines
    assert out[:4] == ["b c", "/tmp", "app", "extra"]
    assert int(out[4].split()[1], 16) == 0
    plain = box("exec", "box", "grep", "CapEff", "/proc/self/status").out.split()[1]
    more = box("exec", "--privileged", "box", "grep", "CapEff", "/proc/self/status").out.split()[1]
    assert int(more, 16) > int(plain, 16)
    err = box("exec", "-u", "nobodyhere", "box", "true", code=1).err
    assert "unable to find user nobodyhere" in err
    done = box("exec", "-w", "/no/such", "box", "true", code=127)
    assert "/no/such" in done.out + done.err


def test_exec_detached(box: Docker):
    assert box("exec", "-d", "box", "sh", "-c", "echo done > /tmp/mark").out == ""
    eventually(lambda: box("exec", "box", "cat", "/tmp/mark", code=0).out == "done\n")


def test_exec_at_a_terminal(box: Docker):
    with box.terminal("exec", "-it", "box", "sh") as terminal:
        terminal.expect("# ")
        terminal.type("tty; stty size\n")
        terminal.expect("/dev/pts/")
        terminal.expect("31 97")
        terminal.type("exit 11\n")
        terminal.ends(11)
    with box.terminal("exec", "-it", "box", "sh", "-c", "echo ready; sleep 60") as terminal:
        terminal.expect("ready")
        terminal.type(DETACH)
        terminal.ends(1)
    assert box.inspect("box", "{{.State.Running}}") == "true"
    assert box("exec", "-t", "box", "echo", "hi").out == "hi\r\n"


def test_exec_ends_with_its_container(box: Docker):
    with box.background("exec", "box", "sh", "-c", "echo ready; sleep 60") as process:
        read_until(process, "ready")
        box("kill", "box")
        assert process.wait(10) == 137
    assert "is not running" in box("exec", "box", "true", code=1).err


def test_logs(docker: Docker):
    script = "for i in 1 2 3; do echo out $i; echo err $i >&2; sleep 0.02; done"
    docker("run", "--name", "web", "busybox", "sh", "-c", script)
    done = docker("logs", "web")
    assert done.out == "out 1\nout 2\nout 3\n"
    assert done.err == "err 1\nerr 2\nerr 3\n"
    done = docker("logs", "--tail", "1", "web")
    assert done.out + done.err == "err 3\n"
    assert docker("logs", "-n", "0", "web").out == ""
    assert docker("logs", "--tail", "all", "web").out.count("\n") == 3
    stamped = docker("logs", "-t", "web").lines
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z out \d$", x) for x in stamped)
    second = stamped[1].split()[0]
    assert docker("logs", "--since", second, "web").lines == ["out 2", "out 3"]
    assert "out 3" not in docker("logs", "--until", second, "web").lines
    assert docker("logs", "--since", "1h", "web").lines == ["out 1", "out 2", "out 3"]
    assert docker("logs", "--until", "1h", "web").out == ""
    assert "No such container" in docker("logs", "nobody", code=1).err
    docker("logs", "--since", "nonsense", "web", code=1)


def test_logs_details(docker: Docker):
    docker(
        "run", "--name", "web", "-l", "team=x", "-e", "TIER=db", "--log-opt", "labels=team",
        "--log-opt", "env=TIER", "busybox", "echo", "hi",
    )  # fmt: skip
    words = docker("logs", "--details", "web").word.split()
    assert sorted(words[0].split(",")) == ["TIER=db", "team=x"]
    assert words[1] == "hi"


def test_logs_follow(docker: Docker):
    docker("run", "-d", "-i", "--name", "cat", "busybox", "cat")
    with (
        docker.background("logs", "-f", "cat") as follower,
        docker.background("attach", "cat") as w,
    ):
        assert w.stdin is not None
        w.stdin.write(b"one\n")
        read_until(follower, "one\n")
        w.stdin.write(b"two\n")
        read_until(follower, "two\n")
        docker("kill", "cat")
        assert follower.wait(10) == 0
    assert docker("logs", "-f", "cat").lines == ["one", "two"]
    # --until in the future ends a follower.
    docker("run", "-d", "--name", "quiet", "busybox", "sh", "-c", "echo hi; sleep 60")
    until = f"{time.time() + 0.7:.3f}"
    assert docker("logs", "-f", "--until", until, "quiet", timeout=10).out == "hi\n"
    docker("rm", "-f", "quiet")


def test_logs_of_other_drivers(docker: Docker):
    docker("run", "--log-driver", "local", "--name", "local", "busybox", "echo", "hi")
    assert docker("logs", "local").out == "hi\n"
    docker("run", "--log-driver", "none", "--name", "none", "busybox", "echo", "hi")
    assert (
        "configured logging driver does not support reading" in docker("logs", "none", code=1).err
    )
    docker(
        "run", "--log-opt", "max-size=4k", "--log-opt", "max-file=2", "--name", "small", "busybox",
        "sh", "-c", "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done",
    )  # fmt: skip
    lines = docker("logs", "small").lines
    assert lines[-1] == "line 2999"
    assert len(lines) < 3000
