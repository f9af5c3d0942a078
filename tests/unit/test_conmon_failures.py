import pytest

from palan.host.oci_failures import explain


START = "unable to start container process: "
CREATE = (
    "failed to create task for container: failed to create shim task: "
    "OCI runtime create failed: runc create failed: "
)
INIT = CREATE + START + "error during container init: "
EXEC = "OCI runtime exec failed: exec failed: " + START


@pytest.mark.parametrize(
    ("text", "program", "code", "message"),
    [
        (
            f'runc create failed: {START}exec: "sleep": executable file not found in $PATH\n',
            "sleep",
            127,
            INIT + 'exec: "sleep": executable file not found in $PATH',
        ),
        (
            "executable file `sleep` not found in $PATH: No such file or directory\n",
            "sleep",
            127,
            INIT + 'exec: "sleep": executable file not found in $PATH',
        ),
        (
            "crun: executable file `/absent` not found: No such file or directory",
            "/absent",
            127,
            INIT + 'exec: "/absent": stat /absent: no such file or directory',
        ),
        (
            "open executable: Operation not permitted",
            "/data",
            126,
            INIT + 'exec: "/data": is a directory: permission denied',
        ),
        (
            "open executable: Permission denied",
            "/x",
            126,
            INIT + 'exec: "/x": permission denied',
        ),
        (
            "open executable: Operation not permitted",
            "",
            127,
            INIT + 'exec: "": executable file not found in $PATH',
        ),
        (
            "the sysctl `bogus` is not namespaced",
            "true",
            128,
            CREATE + 'sysctl "bogus" is not in a separate kernel namespace',
        ),
        (
            'runc create failed: sysctl "bogus" is not in a separate kernel namespace',
            "true",
            128,
            CREATE + 'sysctl "bogus" is not in a separate kernel namespace',
        ),
        (
            "invalid rlimit `RLIMIT_BOGUS`",
            "true",
            128,
            CREATE + "wrong rlimit value: RLIMIT_BOGUS",
        ),
        (
            "setrlimit `RLIMIT_NOFILE`: Invalid argument",
            "true",
            128,
            INIT + "error setting rlimits for ready process: "
            "error setting rlimit type 7: invalid argument",
        ),
        (
            "setrlimit `RLIMIT_NEW`: Invalid argument",
            "true",
            128,
            INIT + "error setting rlimits for ready process: "
            "error setting rlimit type RLIMIT_NEW: invalid argument",
        ),
        (
            "mount `/a` to `etc`: Not a directory",
            "true",
            127,
            INIT + 'error mounting "/a" to rootfs at "/etc": not a directory: Are you trying to '
            "mount a directory onto a file (or vice-versa)? Check if the specified host path "
            "exists and is the expected type",
        ),
        (
            "error stat'ing file `/nowhere`: No such file or directory",
            "true",
            127,
            INIT + 'error mounting "/nowhere": stat /nowhere: no such file or directory',
        ),
        (
            "something New: Went wrong",
            "true",
            128,
            CREATE + "unable to start container process: something New: went wrong",
        ),
        (
            'time="2026-11-23T13:44:37Z" level=error msg="runc create failed: a \\"b\\" c"',
            "true",
            128,
            CREATE + 'a "b" c',
        ),
    ],
)
def test_create(text, program, code, message):
    explanation = explain(text, program=program)
    assert (explanation.exit_code, explanation.message) == (code, message)
    assert explanation.is_request_error == (code != 128)


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        (
            f'exec failed: {START}exec: "/absent": stat /absent: no such file or directory',
            127,
            EXEC + 'exec: "/absent": stat /absent: no such file or directory',
        ),
        (
            "executable file `/absent` not found in $PATH: No such file or directory",
            127,
            EXEC + 'exec: "/absent": stat /absent: no such file or directory',
        ),
        (
            "chdir `/nowhere`: No such file or directory",
            127,
            EXEC + 'chdir to cwd ("/nowhere") set in config.json failed: no such file or directory',
        ),
    ],
)
def test_exec(text, code, message):
    assert explain(text, program="/absent", is_exec=True) == (code, message)
