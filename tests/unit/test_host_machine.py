"""Facts, limits, capabilities, the service manager, inotify, output of nft."""

import os
import socket

import pytest

from palan.host import (
    capabilities,
    facts,
    inotify,
    namespaces,
    nftables,
    rlimits,
    sdnotify,
    spawn,
    syscalls,
)


# ---- facts ------------------------------------------------------------------


def test_os_release_is_parsed():
    text = '# comment\nNAME="Debian GNU/Linux"\nVERSION_ID=12\nX="a \\"b\\""\nBAD="open\n\njunk'
    found = facts.parse_os_release(text)
    assert found == {
        "NAME": "Debian GNU/Linux",
        "VERSION_ID": "12",
        "X": 'a "b"',
        "BAD": '"open',
    }


def test_architectures():
    assert facts.go_architecture("x86_64") == ("amd64", "")
    assert facts.go_architecture("armv7l") == ("arm", "v7")
    assert facts.go_architecture("newarch") == ("newarch", "")


def test_facts_of_this_machine():
    found = facts.gather()
    assert found.ncpu > 0
    assert found.memory_total > 1 << 20
    assert found.kernel_version == os.uname().release
    assert facts.filesystem_name("/proc") == "<unknown>"


# ---- limits and capabilities ------------------------------------------------


def test_capabilities_are_numbered_as_in_the_kernel():
    assert capabilities.CAPABILITIES["CAP_SYS_ADMIN"] == 21
    assert capabilities.CAPABILITIES["CAP_CHECKPOINT_RESTORE"] == 40
    assert capabilities.from_mask(1 << 21 | 1) == ["CAP_CHOWN", "CAP_SYS_ADMIN"]
    assert capabilities.to_mask(["CAP_CHOWN", "CAP_SYS_ADMIN"]) == 1 << 21 | 1
    assert set(capabilities.effective()) <= set(capabilities.CAPABILITIES)


def test_limits_are_clamped_without_the_capability(monkeypatch):
    monkeypatch.setattr(rlimits, "can_raise", lambda: False)
    monkeypatch.setattr(rlimits, "limits", lambda _name: (10, 1000))
    assert rlimits.clamp("nofile", 500, 5000) == (500, 1000)
    assert rlimits.clamp("nofile", rlimits.INFINITY, rlimits.INFINITY) == (1000, 1000)
    assert rlimits.clamp("nofile", 100, 200) == (100, 200)
    monkeypatch.setattr(rlimits, "limits", lambda _name: (10, rlimits.INFINITY))
    assert rlimits.clamp("nofile", 7, rlimits.INFINITY) == (7, rlimits.INFINITY)


def test_a_soft_limit_above_the_hard_one_is_clamped(monkeypatch):
    monkeypatch.setattr(rlimits, "can_raise", lambda: True)
    assert rlimits.clamp("nofile", 1 << 30, 1 << 30) == (1 << 30, 1 << 30)
    assert rlimits.clamp("nofile", rlimits.INFINITY, 5) == (5, 5)


def test_limits_of_every_resource_can_be_read():
    for name in rlimits.RESOURCES:
        soft, hard = rlimits.limits(name)
        assert isinstance(soft, int)
        assert isinstance(hard, int)
    assert rlimits.oci_name("nofile") == "RLIMIT_NOFILE"


# ---- the service manager ----------------------------------------------------


def test_notify(tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        assert sdnotify.sd_notify("READY=1")
        assert manager.recv(100) == b"READY=1"
    assert not sdnotify.sd_notify("READY=1")
    monkeypatch.delenv("NOTIFY_SOCKET")
    assert not sdnotify.sd_notify("READY=1")


def test_notify_on_an_abstract_socket(monkeypatch):
    name = f"palan-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        assert sdnotify.sd_notify("STATUS=x")
        assert manager.recv(100) == b"STATUS=x"


def test_sockets_for_another_process_are_ignored(monkeypatch):
    monkeypatch.setenv("LISTEN_PID", "1")
    monkeypatch.setenv("LISTEN_FDS", "1")
    assert sdnotify.listen_fds() == []
    assert "LISTEN_FDS" not in os.environ


def test_sockets_from_the_service_manager(monkeypatch):
    given = []
    monkeypatch.setattr(os, "set_inheritable", lambda fd, _: given.append(fd))
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "2")
    monkeypatch.setenv("LISTEN_FDNAMES", "docker.socket")
    assert sdnotify.listen_fds(keep_environment=True) == [("docker.socket", 3), ("unknown", 4)]
    assert given == [3, 4]
    assert "LISTEN_FDS" in os.environ


# ---- inotify ----------------------------------------------------------------


def test_inotify_reports_changes(tmp_path):
    with inotify.Inotify() as watcher:
        watch = watcher.add(tmp_path, inotify.CREATE | inotify.CLOSE_WRITE | inotify.MOVED_TO)
        assert watcher.read() == []
        (tmp_path / "file").write_text("x")
        (tmp_path / "file").rename(tmp_path / "moved")
        events = [(event.mask, event.name) for event in watcher.read()]
        assert events == [
            (inotify.CREATE, "file"),
            (inotify.CLOSE_WRITE, "file"),
            (inotify.MOVED_TO, "moved"),
        ]
        watcher.remove(watch)
        assert [event.mask for event in watcher.read()] == [inotify.IGNORED]
        with pytest.raises(FileNotFoundError):
            watcher.add(tmp_path / "absent", inotify.MODIFY)


# ---- nft --------------------------------------------------------------------


def test_an_nft_error_has_the_message_of_nft(monkeypatch):
    said = b"/dev/stdin:1:1-3: Error: syntax error\nadd garbage\n^^^\n"
    monkeypatch.setattr(spawn, "run", lambda *_, **__: spawn.Completed(1, b"", said))
    with pytest.raises(nftables.NftError) as caught:
        nftables.run("add garbage")
    assert caught.value.message == "/dev/stdin:1:1-3: Error: syntax error"
    assert caught.value.script == "add garbage"


def test_an_absent_nft_table_is_none(monkeypatch):
    said = b"Error: No such file or directory\nlist table ip x\n"
    monkeypatch.setattr(spawn, "run", lambda *_, **__: spawn.Completed(1, b"", said))
    assert nftables.list_table("ip", "x") is None


def test_an_nft_listing_omits_the_metadata(monkeypatch):
    said = b'{"nftables": [{"metainfo": {"version": "1"}}, {"table": {"name": "x"}}]}'
    monkeypatch.setattr(spawn, "run", lambda *_, **__: spawn.Completed(0, said, b""))
    assert nftables.list_table("ip", "x") == [{"table": {"name": "x"}}]


def test_a_machine_without_nft(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert not nftables.available()
    assert "not installed" in (nftables.why_unavailable() or "")


# ---- system calls and namespaces --------------------------------------------


def test_errors_of_system_calls_have_the_path(tmp_path):
    with pytest.raises(OSError, match="nothing-here") as caught:
        syscalls.umount2(tmp_path / "nothing-here")
    assert caught.value.filename == str(tmp_path / "nothing-here")


def test_openat2_stays_within_the_root(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/name").write_text("inside")
    (tmp_path / "link").symlink_to("/etc/name")
    root = os.open(tmp_path, os.O_PATH)
    fd = syscalls.openat2(root, "link", os.O_RDONLY, 0, syscalls.RESOLVE_IN_ROOT)
    assert os.read(fd, 100) == b"inside"
    os.close(fd)
    os.close(root)


def test_exceptions_of_a_thread_are_raised_in_the_caller():
    def fail():
        raise KeyError("x")

    with pytest.raises(KeyError):
        namespaces.run_in_thread(fail)
    assert namespaces.run_in_thread(lambda: 5) == 5


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("net.ipv4.ip_forward", "/proc/sys/net/ipv4/ip_forward"),
        ("net/ipv4/conf/eth0.5/forwarding", "/proc/sys/net/ipv4/conf/eth0.5/forwarding"),
        ("net.ipv4.conf.eth0/5.forwarding", "/proc/sys/net/ipv4/conf/eth0.5/forwarding"),
    ],
)
def test_names_of_sysctls(name, path):
    assert str(namespaces._sysctl_path(name)) == path


def test_names_outside_of_proc_sys_are_refused():
    with pytest.raises(ValueError, match="sysctl"):
        namespaces._sysctl_path("net/../../etc/passwd")


def test_a_regular_file_is_not_a_namespace(tmp_path):
    (tmp_path / "file").touch()
    assert not namespaces.is_namespace(tmp_path / "file")
    assert not namespaces.is_namespace(tmp_path / "absent")
    assert namespaces.is_namespace("/proc/self/ns/net")
