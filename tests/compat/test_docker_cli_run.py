"""``docker run``: exit codes, streams, signals, options."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests.support.crash import eventually
from tests.support.docker_cli import Docker, read_until


pytestmark = pytest.mark.root


def test_run_shows_the_output(docker: Docker):
    assert docker("run", "--rm", "busybox", "echo", "hello").out == "hello\n"
    assert docker("ps", "-aq").out == ""


def test_run_uses_the_images_command_and_entrypoint_may_be_set(docker: Docker):
    assert docker("run", "--rm", "-i", "busybox", stdin="echo from sh\n").out == "from sh\n"
    out = docker("run", "--rm", "--entrypoint", "echo", "busybox", "a", "b").out
    assert out == "a b\n"
    out = docker("run", "--rm", "--entrypoint", "", "busybox", "echo", "c").out
    assert out == "c\n"


def test_run_detached_prints_the_id(docker: Docker):
    identity = docker("run", "-d", "--name", "web", "busybox", "sleep", "60").word
    assert re.fullmatch("[0-9a-f]{64}", identity)
    assert docker("ps", "-q", "--no-trunc").word == identity
    assert docker.inspect("web", "{{.State.Status}} {{.Name}}") == "running /web"


@pytest.mark.parametrize("code", [1, 3, 42, 255])
def test_exit_code_is_the_containers(docker: Docker, code: int):
    docker("run", "--rm", "busybox", "sh", "-c", f"exit {code}", code=code)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--badflag", "busybox"], 125, "unknown flag"),
        (["--name", "bad/name", "busybox"], 125, "Invalid container name"),
        (["--memory", "1k", "busybox"], 125, "Minimum memory limit"),
        (["-v", "/:/", "busybox"], 125, "invalid"),
        (["--network", "container:nobody", "busybox"], 125, "No such container"),
        (["busybox", "/etc/passwd"], 126, "permission denied"),
        (["busybox", "/tmp"], 126, ""),
        (["busybox", "nosuchprogram"], 127, "executable file not found"),
        (["busybox", "/no/such/program"], 127, "no such file or directory"),
        (["--workdir", "/etc/passwd", "busybox", "true"], None, "not a directory"),
    ],
)
def test_failures_have_dockers_exit_codes(
    docker: Docker, arguments: list[str], code: int | None, words: str
):
    done = subprocess.run(
        ["docker", "run", "--rm", *arguments],
        check=False, env=docker.env, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == code or (code is None and done.returncode in (125, 126, 127)), done
    assert words in done.stderr
    # AutoRemove applies also to a container that never ran.
    eventually(lambda: docker("ps", "-aq").out == "")


def test_run_of_an_absent_image_says_so(docker: Docker):
    done = docker("run", "--pull", "never", "nosuchimage:v9", "true", code=125)
    assert "No such image: nosuchimage:v9" in done.err


def test_name_in_use_is_a_conflict(docker: Docker):
    docker("create", "--name", "web", "busybox")
    err = docker("run", "--name", "web", "busybox", code=125).err
    assert 'The container name "/web" is already in use by container' in err


def test_stdin_goes_in_and_ends(docker: Docker):
    data = os.urandom(3_000_000)
    assert docker.binary("run", "--rm", "-i", "busybox", "cat", stdin=data) == data
    assert docker("run", "--rm", "-i", "busybox", "wc", "-c", stdin=data).word == "3000000"


def test_stdout_and_stderr_are_apart(docker: Docker):
    done = docker("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 4", code=4)
    assert (done.out, done.err) == ("out\n", "err\n")
    done = docker("run", "-a", "stdout", "busybox", "sh", "-c", "echo out; echo err >&2")
    assert (done.out, done.err) == ("out\n", "")
    done = docker("run", "-a", "stderr", "busybox", "sh", "-c", "echo out; echo err >&2")
    assert (done.out, done.err) == ("", "err\n")
    done = docker("run", "-a", "stdin", "-a", "stdout", "-i", "busybox", "cat", stdin="typed")
    assert done.out == "typed"


def test_much_output_arrives_whole(docker: Docker):
    script = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done"
    lines = docker("run", "--rm", "busybox", "sh", "-c", script).lines
    assert lines == [f"line {number}" for number in range(20000)]
    out = docker.binary("run", "--rm", "busybox", "dd", "if=/dev/zero", "bs=1M", "count=16")
    assert out == bytes(16 * 2**20)


def test_a_reader_that_goes_away_does_not_stop_the_container(docker: Docker):
    with docker.background("run", "--name", "yes", "busybox", "yes") as process:
        read_until(process, "y\n")
        process.kill()
    assert docker.inspect("yes", "{{.State.Running}}") == "true"
    docker("rm", "-f", "yes")


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129), (signal.SIGUSR1, 138)],
)
def test_signals_are_passed_on(docker: Docker, number: signal.Signals, code: int):
    script = "echo ready; sleep 60 & wait"
    command = ["run", "--rm", "--init", "busybox", "sh", "-c", script]
    with docker.background(*command) as process:
        read_until(process, "ready")
        time.sleep(0.1)  # the CLI forwards signals only after the start's response
        process.send_signal(number)
        assert process.wait(15) == code


def test_the_process_may_handle_a_signal(docker: Docker):
    script = "trap 'echo caught; exit 7' TERM; echo ready; while :; do sleep 0.05; done"
    with docker.background("run", "--rm", "busybox", "sh", "-c", script) as process:
        read_until(process, "ready")
        time.sleep(0.1)
        process.terminate()
        assert process.stdout is not None
        assert process.stdout.read() == b"caught\n"
        assert process.wait(15) == 7


def test_sig_proxy_false_leaves_the_container_alone(docker: Docker):
    command = ["run", "--sig-proxy=false", "--name", "calm", "busybox"]
    with docker.background(*command, "sh", "-c", "echo ready; sleep 60") as process:
        read_until(process, "ready")
        for _ in range(3):  # the third signal ends the CLI itself
            time.sleep(0.1)
            process.terminate()
        process.wait(15)
    assert docker.inspect("calm", "{{.State.Running}}") == "true"


def test_init_reaps(docker: Docker):
    # An orphan becomes a child of pid 1, and would stay a zombie there.
    script = "(sleep 0.1 &) ; sleep 0.4; ps -o pid,stat,comm"
    out = docker("run", "--rm", "--init", "busybox", "sh", "-c", script).out
    assert "Z" not in out
    first = out.splitlines()[1].split()
    assert first[0] == "1"
    assert first[2] != "sh"


def test_environment_hostname_user_and_directory(docker: Docker, tmp_path: Path):
    file = tmp_path / "env"
    file.write_text("FROM_FILE=yes\n# comment\n")
    out = docker(
        "run", "--rm", "-e", "GREETING=hello world", "--env-file", str(file),
        "--hostname", "box", "--domainname", "example.org", "-u", "app:extra", "-w", "/tmp/deep",
        "busybox", "sh", "-c", 'echo "$GREETING $FROM_FILE"; hostname; id -un; id -gn; pwd; env',
    ).lines  # fmt: skip
    assert out[:5] == ["hello world yes", "box", "app", "extra", "/tmp/deep"]
    assert "HOME=/home" in out
    assert "HOSTNAME=box" in out
    docker("run", "--rm", "-u", "12345:54321", "--group-add", "2000", "busybox", "true")
    err = docker("run", "--rm", "-u", "nobodyhere", "busybox", "true", code=125).err
    assert "unable to find user nobodyhere" in err


def test_cidfile_labels_and_annotations(docker: Docker, tmp_path: Path):
    cidfile = tmp_path / "cid"
    docker(
        "run", "-d", "--cidfile", str(cidfile), "-l", "a=1", "--label", "b", "--annotation", "x=y",
        "busybox", "true",
    )  # fmt: skip
    identity = cidfile.read_text()
    assert docker.inspect(identity, "{{json .Config.Labels}}") == '{"a":"1","b":""}'
    assert docker.inspect(identity, "{{json .HostConfig.Annotations}}") == '{"x":"y"}'


def test_mounts_of_all_kinds(docker: Docker, tmp_path: Path):
    (tmp_path / "file").write_text("from the host\n")
    out = docker(
        "run", "--rm", "-v", f"{tmp_path}:/bind:ro", "-v", "named:/named", "-v", "/anonymous",
        "--tmpfs", "/scratch:size=1m,mode=700",
        "--mount", f"type=bind,src={tmp_path},dst=/again",
        "--mount", "type=tmpfs,dst=/t2,tmpfs-size=65536",
        "busybox", "sh", "-c",
        "cat /bind/file; touch /bind/x || echo ro; echo 1 > /named/a; echo 2 > /again/b; "
        "df /scratch | tail -1 | awk '{print $2}'; stat -c %a /scratch",
    ).lines  # fmt: skip
    assert out == ["from the host", "ro", "1024", "700"]
    assert (tmp_path / "b").read_text() == "2\n"
    assert docker("run", "--rm", "-v", "named:/x", "busybox", "cat", "/x/a").out == "1\n"
    assert docker("volume", "ls", "-q").lines == ["named"]  # --rm has removed the anonymous one
    docker("volume", "rm", "named")


def test_volumes_from(docker: Docker):
    docker("create", "-v", "shared:/data", "--name", "one", "busybox")
    docker("run", "--rm", "--volumes-from", "one", "busybox", "sh", "-c", "echo x > /data/x")
    out = docker("run", "--rm", "--volumes-from", "one:ro", "busybox", "cat", "/data/x").out
    assert out == "x\n"
    docker("rm", "one")
    docker("volume", "rm", "shared")


def test_limits_and_security_options_take_effect(docker: Docker):
    out = docker(
        "run", "--rm", "--memory", "64m", "--cpus", "0.5", "--pids-limit", "50", "--cpu-shares",
        "512", "--ulimit", "nofile=512:1024", "--cap-drop", "ALL", "--cap-add", "NET_RAW",
        "--read-only", "--shm-size", "8m", "--sysctl", "net.ipv4.ip_forward=0", "--oom-score-adj",
        "500", "--security-opt", "no-new-privileges", "busybox", "sh", "-c",
        "ulimit -n; ulimit -Hn; grep CapEff /proc/self/status; grep NoNewPrivs /proc/self/status;"
        "touch /x || echo readonly; df -m /dev/shm | tail -1 | awk '{print $2}';"
        "cat /proc/sys/net/ipv4/ip_forward /proc/self/oom_score_adj",
    ).lines  # fmt: skip
    assert out[:2] == ["512", "1024"]
    assert out[2].split()[1] == f"{1 << 13:016x}"
    assert out[3].split()[1] == "1"
    assert out[4:] == ["readonly", "8", "0", "500"]


def test_privileged_devices_and_namespaces(docker: Docker):
    out = docker("run", "--rm", "--privileged", "busybox", "sh", "-c", "ls /dev/loop* | head -1")
    assert out.word.startswith("/dev/")
    assert docker("run", "--rm", "--device", "/dev/null:/dev/mine:rw", "busybox", "ls", "/dev/mine")
    host = Path("/proc/self/ns/ipc").readlink()
    command = ["busybox", "readlink", "/proc/self/ns/ipc"]
    assert docker("run", "--rm", "--ipc", "host", *command).word == str(host)
    assert docker("run", "--rm", *command).word != str(host)
    assert int(docker("run", "--rm", "--pid", "host", "busybox", "sh", "-c", "echo $$").word) > 1
    uts = str(Path("/proc/self/ns/uts").readlink())
    out = docker("run", "--rm", "--uts", "host", "busybox", "readlink", "/proc/self/ns/uts")
    assert out.word == uts


def test_restart_policy_runs_again(docker: Docker):
    docker("run", "-d", "--name", "flaky", "--restart", "on-failure:2", "busybox", "false")
    eventually(lambda: docker.inspect("flaky", "{{.RestartCount}} {{.State.Status}}") == "2 exited")
    assert docker("run", "--rm", "--restart", "always", "busybox", code=125).err


def test_links(docker: Docker):
    docker("create", "--name", "other", "busybox", "sleep", "60")
    linked = ("run", "--rm", "--link", "other:db", "busybox", "sh", "-c", "grep db /etc/hosts; env")
    assert "Cannot link to a non running container" in docker(*linked, code=125).err
    docker("start", "other")
    out = docker(*linked).out
    assert docker.inspect("other", "{{.NetworkSettings.Networks.bridge.IPAddress}}") in out
    assert "DB_NAME=" in out


def test_a_gpu_without_a_driver_is_refused(docker: Docker):
    err = docker("run", "--rm", "--gpus", "all", "busybox", "true", code=125).err
    assert "could not select device driver" in err


def test_dns_and_hosts_options(docker: Docker):
    out = docker(
        "run", "--rm", "--dns", "192.0.2.7", "--dns-search", "example.org", "--dns-option",
        "ndots:3", "--add-host", "db:192.0.2.9", "--add-host", "gw:host-gateway", "busybox", "sh",
        "-c", "cat /etc/resolv.conf /etc/hosts",
    ).out  # fmt: skip
    assert "nameserver 192.0.2.7" in out
    assert "search example.org" in out
    assert "options ndots:3" in out
    assert re.search(r"192\.0\.2\.9\s+db", out)
    assert re.search(r"172\.\d+\.\d+\.1\s+gw", out)
