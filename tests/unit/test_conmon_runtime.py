"""OCI runtimes and the prober, with scripts in place of the programs."""

import json
import os
import shutil
import stat
import subprocess
import sys
import threading
from typing import Any

import pytest

from palan.host import conmon, processes
from palan.host.conmon import Conmon, ContainerPlan, find_monitors
from palan.host.oci_probe import Prober
from palan.host.oci_runtime import OCIRuntime, RuntimeFailure, find_programs, kind_of
from palan.host.spawn import Spawner


@pytest.fixture
def spawner():
    made = Spawner()
    yield made
    made.close()


def script(path, text):
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return path


def test_kind_of():
    assert kind_of("crun version 1.8.1\ncommit: x") == "crun"
    assert kind_of("runc version 1.1.5+ds1") == "runc"
    assert kind_of("youki version 0.3") == "other"
    assert kind_of("") == "other"


def test_find_programs(tmp_path, monkeypatch):
    script(tmp_path / "palan-runtime", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_programs(["palan-runtime", "palan-absent"]) == {
        "palan-runtime": tmp_path / "palan-runtime"
    }


async def test_commands(tmp_path, spawner):
    program = script(tmp_path / "rt", f'echo "$@" >> {tmp_path}/calls; cat >> {tmp_path}/calls')
    runtime = OCIRuntime("x", program, tmp_path / "root", spawner, options=["--systemd-cgroup"])
    (tmp_path / "root" / "c").mkdir(parents=True)
    assert runtime.containers() == ["c"]
    await runtime.start("c")
    await runtime.kill("c", 15)
    await runtime.kill("c", 9, all_processes=True)
    await runtime.pause("c")
    await runtime.resume("c")
    await runtime.update("c", {"pids": {"limit": 1}})
    await runtime.delete("c", force=True)
    await runtime.delete("absent")
    always = f"--root={tmp_path}/root --systemd-cgroup --log-format=json "
    assert (tmp_path / "calls").read_text().splitlines() == [
        always + "start c",
        always + "kill c 15",
        always + "kill --all c 9",
        always + "pause c",
        always + "resume c",
        always + "update --resources=- c",
        json.dumps({"pids": {"limit": 1}}) + always + "delete --force c",
    ]


async def test_failures_have_the_message_of_the_runtime(tmp_path, spawner):
    said = '{"level":"error","msg":"no such thing","time":"x"}'
    program = script(tmp_path / "rt", f"echo warning >&2; echo '{said}' >&2; exit 1")
    runtime = OCIRuntime("x", program, tmp_path / "root", spawner)
    with pytest.raises(RuntimeFailure, match=r"^no such thing$"):
        await runtime.state("c")
    assert await runtime.features() == {}
    runtime.path = script(tmp_path / "rt2", "exit 7")
    with pytest.raises(RuntimeFailure, match=r"^exit status 7$"):
        await runtime.pause("c")


async def test_start_of_crun_without_the_program(tmp_path, spawner):
    runtime = OCIRuntime("crun", tmp_path / "absent", tmp_path, spawner, version="crun version 1")
    fifo = tmp_path / "c" / "exec.fifo"
    fifo.parent.mkdir()
    os.mkfifo(fifo)
    with pytest.raises(FileNotFoundError):  # no check before the call: the program itself fails
        await runtime.start("c")
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    waiting = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        await runtime.start("c")
        assert os.read(waiting, 10) == b"\0"
    finally:
        os.close(waiting)
    assert not fifo.exists()


async def test_start_of_runc_without_the_program(tmp_path, spawner):
    runtime = OCIRuntime("runc", tmp_path / "absent", tmp_path, spawner, version="runc version 1")
    fifo = tmp_path / "c" / "exec.fifo"
    fifo.parent.mkdir()
    os.mkfifo(fifo)

    def wait():
        fd = os.open(fifo, os.O_WRONLY)
        os.write(fd, b"0")
        os.close(fd)

    waiting = threading.Thread(target=wait)
    waiting.start()
    await runtime.start("c")
    waiting.join(2)
    assert not fifo.exists()


@pytest.mark.parametrize("broken", ["{", "{}", '{"pid": 1}', "[]"])
@pytest.mark.parametrize("kind", ["crun", "runc"])
async def test_delete_runs_the_program_for_an_unexpected_state(tmp_path, spawner, kind, broken):
    program = script(tmp_path / "rt", f"echo called >> {tmp_path}/calls")
    root = tmp_path / "root"
    runtime = OCIRuntime(kind, program, root, spawner, version=f"{kind} version 1")
    (root / "c").mkdir(parents=True)
    for name in ("status", "config.json", "state.json"):
        (root / "c" / name).write_text(broken)
    await runtime.delete("c")
    assert (tmp_path / "calls").read_text() == "called\n"


async def test_delete_of_a_running_container_is_refused_by_the_program(tmp_path, spawner):
    program = script(tmp_path / "rt", 'echo \'{"msg":"running"}\' >&2; exit 1')
    root = tmp_path / "root"
    runtime = OCIRuntime("crun", program, root, spawner, version="crun version 1")
    (root / "c").mkdir(parents=True)
    started = processes.start_time(os.getpid())
    assert started is not None
    state: dict[str, Any] = {
        "pid": os.getpid(),
        "process-start-time": started,
        "cgroup-path": "/palan-test-absent/c",
        "systemd-cgroup": False,
    }
    (root / "c" / "status").write_text(json.dumps(state))
    (root / "c" / "config.json").write_text("{}")
    with pytest.raises(RuntimeFailure, match="running"):
        await runtime.delete("c")
    state["process-start-time"] = started - 1  # another process has the same pid
    (root / "c" / "status").write_text(json.dumps(state))
    await runtime.delete("c")
    assert runtime.containers() == []


async def test_the_result_of_a_probe_is_stored(tmp_path, spawner):
    calls = tmp_path / "calls"
    text = f'case "$*" in *--version*) echo crun version 9;; *) echo >> {calls}; %s;; esac'
    program = script(tmp_path / "rt", text % "exit 0")
    cache = tmp_path / "cache.json"

    async def probe():
        prober = Prober(cache, tmp_path, cgroup_parent="/palan-test-absent")
        return await prober.probe(program, {"one": spawner, "two": spawner})

    first = await probe()
    assert (first.works, first.spawner, first.version) == (True, "one", "crun version 9")
    assert await probe() == first
    assert calls.read_text() == "\n"
    script(program, text % "echo broken here >&2; exit 1" + "\n# changed")
    broken = await probe()
    assert (broken.works, broken.error) == (False, "broken here")
    assert calls.read_text() == "\n\n\n"
    await probe()
    assert calls.read_text() == "\n\n\n\n\n"  # failed probes are repeated
    cache.write_text("not JSON")
    assert not (await probe()).works
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cache.json", "calls", "rt"]


async def test_conmon_is_absent_or_fails(tmp_path, spawner):
    runtime = OCIRuntime("crun", tmp_path / "rt", tmp_path / "root", spawner)
    plan = ContainerPlan(id="c", bundle=tmp_path, exits=tmp_path, log=None)
    with pytest.raises(FileNotFoundError):
        await Conmon(tmp_path / "absent").create(runtime, plan)
    silent = script(tmp_path / "silent", "echo '[conmon:e]: no way' >&2; exit 3")
    with pytest.raises(RuntimeFailure, match=r"\[conmon:e\]: no way"):
        await Conmon(silent).create(runtime, plan)
    silent = script(tmp_path / "silent", "exit 3")
    with pytest.raises(RuntimeFailure, match="conmon ended with 3"):
        await Conmon(silent).create(runtime, plan)
    talking = script(
        tmp_path / "talking",
        'printf \'{"data": -1, "message": "no \\377 way"}\\n\' > /proc/$$/fd/$_OCI_SYNCPIPE',
    )
    with pytest.raises(RuntimeFailure, match="no \ufffd way"):
        await Conmon(talking).create(runtime, plan)
    bad = ContainerPlan(id="c", bundle=tmp_path, exits=tmp_path, log=tmp_path / "a:b")
    with pytest.raises(ValueError, match="colon"):
        await Conmon(silent).create(runtime, bad)


async def test_a_runtime_that_hangs_is_killed(tmp_path, spawner):
    program = script(tmp_path / "conmon", f"sleep 1000 & echo $! > {tmp_path}/child; wait")
    runtime = OCIRuntime("crun", tmp_path / "rt", tmp_path / "root", spawner)
    plan = ContainerPlan(id="c", bundle=tmp_path, exits=tmp_path, log=None)
    with pytest.raises(RuntimeFailure, match="hangs"):
        await Conmon(program, patience=0.3).create(runtime, plan)
    assert not processes.is_alive(int((tmp_path / "child").read_text()))


@pytest.mark.parametrize(
    ("own_session", "message"),
    [(True, "the runtime was killed before"), (False, "within 1.5 s: it hangs")],
)
async def test_a_runtime_that_is_killed_is_noticed(
    tmp_path, spawner, monkeypatch, own_session, message
):
    # conmon waits for the end of the runtime's stderr, which what it has made has as well.
    monkeypatch.setattr(conmon, "_LOOK", 0.2)
    program = tmp_path / "conmon"
    program.write_text(f"""#!{sys.executable}
import os, subprocess, time
os.setsid()
made = subprocess.Popen(["sleep", "60"], start_new_session={own_session})
open({str(tmp_path / "child")!r}, "w").write(str(made.pid))
time.sleep(60)
""")
    program.chmod(0o755)
    runtime = OCIRuntime("x", script(tmp_path / "rt", ""), tmp_path / "root", spawner)
    plan = ContainerPlan(id="c", bundle=tmp_path, exits=tmp_path, log=None)
    with pytest.raises(RuntimeFailure, match=message):
        await Conmon(program, patience=1.5).create(runtime, plan)
    assert not processes.is_alive(int((tmp_path / "child").read_text()))


async def test_conmon_arguments(tmp_path, spawner):
    program = script(
        tmp_path / "conmon",
        f'printf "%s\\n" "$@" TZ=$TZ > {tmp_path}/arguments; '
        f'echo 4 > {tmp_path}/c; echo "{{\\"data\\": $$}}" > /proc/$$/fd/$_OCI_SYNCPIPE',
    )
    runtime = OCIRuntime("crun", tmp_path / "rt", tmp_path / "root", spawner)
    plan = ContainerPlan(
        id="c",
        bundle=tmp_path,
        exits=tmp_path,
        log=tmp_path / "log",
        log_max=7,
        tty=True,
        stdin=True,
        keep_stdin=True,
    )
    made = await Conmon(program).create(runtime, plan)
    assert made.monitor == made.pid
    assert (await made.wait()).code == 4
    arguments = (tmp_path / "arguments").read_text().splitlines()
    assert {
        "--sync",
        "--cid=c",
        f"--runtime-arg=--root={tmp_path}/root",
        f"--log-path=k8s-file:{tmp_path}/log",
        "--log-size-max=7",
        "--terminal",
        "--stdin",
        "--leave-stdin-open",
        "TZ=UTC0",
    } <= set(arguments)


def test_find_monitors_finds_none(tmp_path):
    assert find_monitors(tmp_path) == []


def test_find_monitors_checks_program_ids_and_directory(tmp_path):
    """A process counts as a container's conmon only if program, ids and directory agree."""
    bundles, one, two = tmp_path / "bundles", "1" * 64, "2" * 64
    programs = [tmp_path / "a" / "conmon", tmp_path / "b" / "conmon"]
    for program in programs:
        program.parent.mkdir()
        shutil.copy("/bin/sh", program)
    running = []

    def found(directory, cid, cuuid, program=programs[0]):
        process = subprocess.Popen(
            [
                program, "-c", "echo; read line; :",
                f"--bundle={directory}", f"--cid={cid}", f"--cuuid={cuuid}",
            ],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline()
        return [f for f in find_monitors(bundles, programs[0]) if f.pid == process.pid]

    try:
        (monitor,) = found(bundles / one, one, one)
        assert (monitor.directory, monitor.is_exec) == (bundles / one, False)
        (monitor,) = found(bundles / one / "execs" / two, one, two)
        assert (monitor.directory, monitor.is_exec) == (bundles / one / "execs" / two, True)
        assert not found(bundles / one, one, one, programs[1])
        assert not found(f"{bundles}/../victim", one, "evil")
        assert not found(f"{bundles}/{one}/../../victim", one, two)
        assert not found(bundles / one / "execs" / "..", one, "..")
        assert not found(bundles / one, one, two)
        assert not found(bundles / "..", "..", "..")
        # Its program file has been replaced by another version.
        programs[0].unlink()
        shutil.copy("/bin/sh", programs[0])
        assert [f.pid for f in find_monitors(bundles, programs[0])] == [p.pid for p in running[:2]]
        programs[0].unlink()
        assert find_monitors(bundles, programs[0]) == []
    finally:
        for process in running:
            process.communicate(b"\n")
