"""Exec: processes beside the container's own, attached and detached."""

import socket
import threading
import time

import pytest
from tests.support.crash import assert_quiet_log, eventually
from tests.support.http import frames, read_all, text_of

from palan.api.version import MAX_VERSION


pytestmark = pytest.mark.root

ATTACHED = {"Detach": False, "Tty": False}
DETACHED = {"Detach": True}


@pytest.fixture(scope="module")
def box(shared_engine):
    """Yield a running container for all tests that do not change it."""
    container = shared_engine.run("sleep", "600", name="box", Env=["BASE=1"])
    yield container
    shared_engine.remove(container)


def create(engine, container, *command, **config):
    body = {"AttachStdout": True, "AttachStderr": True, "Cmd": list(command), **config}
    answer = engine.api.post(f"/containers/{container}/exec", body)
    assert answer.status == 201, answer.body
    return answer.json["Id"]


def start(engine, exec_id, body=ATTACHED, **options):
    return engine.api.hijack(f"/exec/{exec_id}/start", body, **options)


def run(engine, container, *command, **config):
    """Run a process, and return its output in frames and its exit code."""
    exec_id = create(engine, container, *command, **config)
    _, sock = start(engine, exec_id)
    data = read_all(sock)
    return data, engine.api.get(f"/exec/{exec_id}/json").json["ExitCode"]


def inspect(engine, exec_id):
    return engine.api.get(f"/exec/{exec_id}/json").json


def ended(engine, exec_id):
    deadline = time.monotonic() + 10
    while (shown := inspect(engine, exec_id))["Running"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return shown


def read_until(sock, wanted):
    data = b""
    while wanted not in data:
        more = sock.recv(65536)
        assert more, data
        data += more
    return data


# ---- at the end of the container --------------------------------------------------------


def test_at_the_moment_of_the_containers_end(shared_engine):
    """The exec runs, or the container has ended: never an engine's error, and nothing is left."""
    engine = shared_engine
    answers = []

    def keep_trying(container, body):
        while True:
            made = engine.api.post(f"/containers/{container}/exec", {"Cmd": ["true"]})
            answers.append((made.status, made.body))
            if made.status != 201:
                return
            answer = engine.api.post(f"/exec/{made.json['Id']}/start", body)
            answers.append((answer.status, answer.body))

    for _ in range(4):
        container = engine.run("sleep", "1000")
        threads = [
            threading.Thread(target=keep_trying, args=(container, body))
            for body in (DETACHED, DETACHED, ATTACHED)
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.15)
        assert engine.api.post(f"/containers/{container}/kill").status == 204
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()
        eventually(lambda: not (engine.config.paths.bundle(container)).exists())  # noqa: B023
        engine.remove(container)
    refused = [(status, body) for status, body in answers if status not in (200, 201)]
    assert {(status, b"not running" in body) for status, body in refused} == {(409, True)}, [
        answer for answer in refused if answer[0] != 409
    ]
    assert_quiet_log(engine)


# ---- attached --------------------------------------------------------------------------


def test_output_and_exit_code(shared_engine, box):
    exec_id = create(shared_engine, box, "sh", "-c", "echo out; echo err >&2; exit 5")
    before = inspect(shared_engine, exec_id)
    assert before == {
        "ID": exec_id, "Running": False, "ExitCode": None,
        "ProcessConfig": {
            "tty": False, "entrypoint": "sh",
            "arguments": ["-c", "echo out; echo err >&2; exit 5"], "privileged": False,
        },
        "OpenStdin": False, "OpenStderr": True, "OpenStdout": True, "CanRemove": False,
        "ContainerID": box, "DetachKeys": "", "Pid": 0,
    }  # fmt: skip
    head, sock = start(shared_engine, exec_id)
    assert head.startswith(b"HTTP/1.1 101 UPGRADED\r\n")
    assert b"Content-Type: application/vnd.docker.multiplexed-stream\r\n" in head
    data = read_all(sock)
    assert text_of(data, 1) == b"out\n"
    assert text_of(data, 2) == b"err\n"
    after = inspect(shared_engine, exec_id)
    assert (after["Running"], after["ExitCode"]) == (False, 5), "known when output ends"
    assert after["Pid"] > 0


def test_without_an_upgrade(shared_engine, box):
    head, sock = start(shared_engine, create(shared_engine, box, "echo", "hi"), upgrade=False)
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Type: application/vnd.docker.raw-stream\r\n" in head
    assert list(frames(read_all(sock))) == [(1, b"hi\n")]


def test_only_the_streams_that_were_asked_for(shared_engine, box):
    data, _ = run(shared_engine, box, "sh", "-c", "echo out; echo err >&2", AttachStdout=False)
    assert list(frames(data)) == [(2, b"err\n")]


def test_input(shared_engine, box):
    exec_id = create(shared_engine, box, "cat", AttachStdin=True)
    _, sock = start(shared_engine, exec_id)
    sock.sendall(b"through\n")
    sock.shutdown(socket.SHUT_WR)
    assert text_of(read_all(sock), 1) == b"through\n"
    assert inspect(shared_engine, exec_id)["ExitCode"] == 0


def test_without_input_it_reads_nothing(shared_engine, box):
    data, code = run(shared_engine, box, "cat")
    assert (data, code) == (b"", 0)


def test_environment_user_and_directory(shared_engine, box):
    data, _ = run(
        shared_engine, box, "sh", "-c", "id -u; id -g; pwd; echo $BASE $MORE $HOME",
        Env=["MORE=2"], User="app", WorkingDir="/etc",
    )  # fmt: skip
    assert text_of(data, 1) == b"1000\n1000\n/etc\n1 2 /home\n"
    data, _ = run(shared_engine, box, "sh", "-c", "id -u; id -g", User="5:6")
    assert text_of(data, 1) == b"5\n6\n"


def test_privileged(shared_engine, box):
    def capabilities(**config):
        data, _ = run(shared_engine, box, "grep", "CapEff", "/proc/self/status", **config)
        return int(text_of(data, 1).split()[1], 16)

    assert capabilities(Privileged=True) > capabilities()


def test_much_output(shared_engine, box):
    data, _ = run(shared_engine, box, "sh", "-c", "head -c 5000000 /dev/zero")
    assert len(text_of(data, 1)) == 5_000_000


# ---- a terminal --------------------------------------------------------------------------


def test_tty(shared_engine, box):
    exec_id = create(
        shared_engine, box, "sh", "-c", "read line; stty size; echo got $line; cat",
        Tty=True, AttachStdin=True,
    )  # fmt: skip
    head, sock = start(
        shared_engine, exec_id, {"Detach": False, "Tty": True, "ConsoleSize": [30, 70]}
    )
    assert b"Content-Type: application/vnd.docker.raw-stream\r\n" in head
    sock.sendall(b"typed\n")
    data = read_until(sock, b"got typed\r\n")
    assert data == b"typed\r\n30 70\r\ngot typed\r\n"
    assert inspect(shared_engine, exec_id)["Running"] is True
    sock.sendall(b"\x10\x11")
    assert read_all(sock) == b""
    assert inspect(shared_engine, exec_id)["Running"] is True, "detached"


def test_resize(shared_engine, box):
    exec_id = create(
        shared_engine, box,
        "sh", "-c", "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.02; done",
        Tty=True,
    )  # fmt: skip
    _, sock = start(shared_engine, exec_id, {"Tty": True})
    read_until(sock, b"ready")
    assert shared_engine.api.post(f"/exec/{exec_id}/resize?h=10&w=20").status == 200
    assert b"10 20\r\n" in read_all(sock)


def test_the_start_says_how_output_is_sent(shared_engine, box):
    head, sock = start(shared_engine, create(shared_engine, box, "echo", "x"), {"Tty": True})
    assert b"Content-Type: application/vnd.docker.raw-stream\r\n" in head
    assert read_all(sock) == b"x\n"
    exec_id = create(shared_engine, box, "echo", "x", Tty=True)
    _, sock = start(shared_engine, exec_id)
    assert text_of(read_all(sock), 1) == b"x\r\n"


# ---- detached ----------------------------------------------------------------------------


def test_detached(shared_engine, box):
    exec_id = create(shared_engine, box, "sh", "-c", "sleep 0.2; exit 6")
    answer = shared_engine.api.post(f"/exec/{exec_id}/start", DETACHED)
    assert (answer.status, answer.body) == (200, b"")
    running = inspect(shared_engine, exec_id)
    assert (running["Running"], running["ExitCode"]) == (True, None)
    assert running["Pid"] > 0
    assert exec_id in shared_engine.inspect(box)["ExecIDs"]
    again = shared_engine.api.post(f"/exec/{exec_id}/start", DETACHED)
    assert (again.status, again.message) == (409, f"exec command {exec_id} is already running")
    assert ended(shared_engine, exec_id)["ExitCode"] == 6
    assert exec_id not in (shared_engine.inspect(box)["ExecIDs"] or [])


# ---- failures ------------------------------------------------------------------------------


def test_it_starts_once(shared_engine, box):
    exec_id = create(shared_engine, box, "true")
    read_all(start(shared_engine, exec_id)[1])
    message = f"exec command {exec_id} has already run\r\n".encode()
    assert list(frames(read_all(start(shared_engine, exec_id)[1]))) == [(1, message)]
    head, sock = start(shared_engine, exec_id, {"Tty": True})
    assert b"raw-stream" in head
    assert read_all(sock) == message
    assert shared_engine.api.post(f"/exec/{exec_id}/start", DETACHED).status == 409


def test_an_absent_program(shared_engine, box):
    exec_id = create(shared_engine, box, "/absent")
    [(stream, text)] = frames(read_all(start(shared_engine, exec_id)[1]))
    assert stream == 1
    assert text.startswith(b"OCI runtime exec failed: exec failed: ")
    assert b"/absent" in text
    assert text.endswith(b"\r\n")
    assert inspect(shared_engine, exec_id)["ExitCode"] == 127
    detached = create(shared_engine, box, "/absent")
    answer = shared_engine.api.post(f"/exec/{detached}/start", DETACHED)
    assert answer.status == 400
    assert answer.message.startswith("OCI runtime exec failed: ")


def test_an_absent_directory(shared_engine, box):
    exec_id = create(shared_engine, box, "pwd", WorkingDir="/nowhere")
    [(_, text)] = frames(read_all(start(shared_engine, exec_id)[1]))
    assert text.startswith(b"OCI runtime exec failed: ")


@pytest.mark.usefixtures("box")
@pytest.mark.parametrize(
    ("target", "body", "status", "message"),
    [
        ("/containers/box/exec", {"AttachStdout": True}, 400, "No exec command specified"),
        ("/containers/box/exec", None, 400, "No exec command specified"),
        (
            "/containers/box/exec", {"Cmd": "true"}, 400,
            ("invalid JSON: json: cannot unmarshal string into Go struct field"
            " ExecCreateRequest.Cmd of type []string"),
        ),
        (
            "/containers/box/exec", {"Cmd": ["true"], "DetachKeys": "ctrl-bogus"}, 400,
            "Invalid escape keys (ctrl-bogus) provided",
        ),
        (
            "/containers/box/exec", {"Cmd": ["true"], "User": "nobody-here"}, 400,
            "unable to find user nobody-here: no matching entries in passwd file",
        ),
        ("/containers/absent/exec", {"Cmd": ["true"]}, 404, "No such container: absent"),
        ("/exec/absent/start", ATTACHED, 404, "No such exec instance: absent"),
        ("/exec/absent/resize?h=1&w=1", None, 404, "No such exec instance: absent"),
    ],
)  # fmt: skip
def test_refusals(shared_engine, target, body, status, message):
    answer = shared_engine.api.post(target, body)
    assert (answer.status, answer.message) == (status, message)


def test_inspect_of_nothing(shared_engine):
    answer = shared_engine.api.get("/exec/absent/json")
    assert (answer.status, answer.message) == (404, "No such exec instance: absent")


# ---- execs and the container's state ---------------------------------------------------------


def test_only_in_a_running_container(engine):
    container = engine.create("sleep", "600", name="cont")
    target = f"/containers/{container}/exec"
    answer = engine.api.post(target, {"Cmd": ["true"]})
    assert (answer.status, answer.message) == (409, f"container {container} is not running")
    engine.api.post("/containers/cont/start")
    engine.api.post("/containers/cont/pause")
    answer = engine.api.post("/containers/cont/exec", {"Cmd": ["true"]})
    assert (answer.status, answer.message) == (
        409, "Container cont is paused, unpause the container before exec"
    )  # fmt: skip
    engine.api.post("/containers/cont/unpause")


def test_the_end_of_the_container_is_theirs(engine):
    container = engine.run("sleep", "600")
    done, waiting, running = (create(engine, container, *c) for c in (
        ("sh", "-c", "exit 5"), ("true",), ("sleep", "600"),
    ))  # fmt: skip
    read_all(start(engine, done)[1])
    _, sock = start(engine, running)
    eventually(lambda: inspect(engine, running)["Running"])
    engine.api.post(f"/containers/{container}/kill")
    assert read_all(sock) == b""
    assert ended(engine, running)["ExitCode"] == 137
    assert inspect(engine, done)["ExitCode"] == 5
    assert engine.api.post(f"/exec/{waiting}/start", DETACHED).status == 404
    engine.remove(container)
    for exec_id in (done, running):
        assert engine.api.get(f"/exec/{exec_id}/json").status == 404


def test_events(engine):
    container = engine.run("sleep", "600")
    since = time.time()
    exec_id = create(engine, container, "sh", "-c", "exit 2")
    read_all(start(engine, exec_id)[1])
    answer = engine.api.get(
        f"/events?since={since}&until={time.time() + 0.1}"
        f'&filters={{"container":["{container}"]}}'.replace('"', "%22")
    )
    events = [line for line in answer.body.splitlines() if line]
    text = b"\n".join(events)
    for action in (b"exec_create: sh -c exit 2", b"exec_start: sh -c exit 2", b"exec_die"):
        assert action in text
    assert f'"execID":"{exec_id}"'.encode() in text
    assert b'"exitCode":"2"' in text


def test_the_head_comes_before_the_process(engine):
    # docker-py loses the bytes that arrive together with the head.
    container = engine.run("sleep", "600")
    for _ in range(20):
        exec_id = create(engine, container, "echo", "hi")
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(10)
            sock.connect(str(engine.socket))
            body = b'{"Detach":false}'
            sock.sendall(
                f"POST /v{MAX_VERSION}/exec/{exec_id}/start HTTP/1.1\r\nHost: x\r\nUpgrade: tcp\r\n"
                "Connection: Upgrade\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            assert sock.recv(65536).endswith(b"\r\n\r\n")
            assert read_all(sock).endswith(b"hi\n")


def test_output_is_complete_although_input_was_not_read(shared_engine):
    container = shared_engine.run("sleep", "600")
    text = b"line\n" * 100_000
    for _ in range(5):
        exec_id = create(shared_engine, container, "head", "-n", "1", AttachStdin=True)
        _, sock = start(shared_engine, exec_id)
        sender = threading.Thread(target=send_all, args=(sock, text))
        sender.start()
        found = read_all(sock)
        sender.join()
        assert text_of(found, 1) == b"line\n"
    shared_engine.remove(container)


def send_all(sock, data):
    try:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
    except OSError:  # the process has ended
        pass
