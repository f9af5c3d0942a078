"""What containers and execs get of the host through their runtime: streams and masks."""

import os

import pytest
from tests.support.http import read_all, text_of


pytestmark = pytest.mark.root

IDENTITY = "stat -L -c %d:%i"


@pytest.fixture(params=["crun", "runc"])
def runtime(request, engine):
    if request.param not in engine.api.get("/info").json["Runtimes"]:
        pytest.skip(f"{request.param} does not work here")
    return request.param


def run_exec(engine, container, *command, **config):
    """Run a process, and return its output and its exit code."""
    body = {"AttachStdout": True, "AttachStderr": True, "Cmd": list(command), **config}
    exec_id = engine.api.post(f"/containers/{container}/exec", body).json["Id"]
    _, sock = engine.api.hijack(f"/exec/{exec_id}/start", {"Detach": False, "Tty": False})
    text = text_of(read_all(sock), 1).decode()
    return text, engine.api.get(f"/exec/{exec_id}/json").json["ExitCode"]


def host_null():
    # The device numbers of `stat -c %d` are those of Python's st_dev.
    found = os.stat("/dev/null")  # noqa: PTH116
    return f"{found.st_dev}:{found.st_ino}", (found.st_uid, found.st_gid, found.st_mode)


# Only the identity is looked at, because a failing test must not change the host's device.
@pytest.mark.parametrize("binds", [[], ["/etc:/mnt"]])
def test_stdin_and_masked_files_are_not_the_null_device_of_the_host(engine, runtime, binds):
    null, before = host_null()
    masked = {"MaskedPaths": ["/proc/version"], "Runtime": runtime, "Binds": binds}
    container = engine.run("sleep", "1000", host=masked)
    script = f"{IDENTITY} /proc/self/fd/0 /proc/1/fd/0 /proc/version"
    text, code = run_exec(engine, container, "sh", "-c", script)
    assert code == 0
    assert len(text.split()) == 3
    assert null not in text.split()
    assert host_null() == (null, before)


def test_stdin_of_an_exec_is_a_null_device_that_nobody_can_change(engine, runtime):
    container = engine.run("sleep", "1000", host={"Runtime": runtime})
    script = "ls -lL /proc/self/fd/0; cat /dev/stdin; echo x > /proc/self/fd/0 && echo written"
    data, code = run_exec(engine, container, "sh", "-c", script, User="1234")
    assert code == 0
    assert "crw-rw-rw-    1 root     root        1,   3" in data
    assert "written" in data
