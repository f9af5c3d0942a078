"""The rules of Docker's default seccomp profile: system calls and the conditions for them.

The calls are listed by subject.  Variants share an entry: ``chown/32`` is ``chown`` and
``chown32``, ``futex/_time64`` is ``futex`` and ``futex_time64``.  Calls that are not listed
fail with EPERM.
"""

from dataclasses import dataclass
from typing import Final


__all__ = ["ENOSYS", "RULES", "SUB_ARCHITECTURES", "Argument", "Rule"]

ENOSYS: Final = 38


@dataclass(frozen=True, slots=True)
class Argument:
    """A condition on one argument: ``LT``, ``EQ``, ``GT`` or ``MASKED_EQ`` (with zero)."""

    index: int
    op: str
    value: int


@dataclass(frozen=True, slots=True)
class Rule:
    """Calls that are allowed, or fail with ``errno``, when all conditions hold.

    Attributes:
        names: the names of the calls.
        caps: capabilities that the container must have.
        unless_caps: capabilities that it must not have.
        arches: the architectures to which the rule applies; empty for all.
        unless_arches: architectures to which it does not apply.
        kernel: the first kernel version to which it applies.
        argument: the condition on an argument.
        errno: the error with which calls fail; 0 to allow them.
    """

    names: tuple[str, ...]
    caps: tuple[str, ...] = ()
    unless_caps: tuple[str, ...] = ()
    arches: tuple[str, ...] = ()
    unless_arches: tuple[str, ...] = ()
    kernel: tuple[int, int] = (0, 0)
    argument: Argument | None = None
    errno: int = 0


def _expand(*subjects: str) -> tuple[str, ...]:
    names = []
    for entry in " ".join(subjects).split():
        stem, *suffixes = entry.split("/")
        names += [stem, *(stem + suffix for suffix in suffixes)]
    return tuple(sorted(names))


_FILES = """
    access chdir chmod chown/32 close close_range creat dup dup2 dup3 faccessat/2
    fadvise64/_64 fallocate fchdir fchmod fchmodat/2 fchown/32 fchownat fcntl/64 fdatasync flock
    fstat/64 fstatat64 fsync ftruncate/64 futimesat getcwd getdents/64 ioctl lchown/32 link linkat
    _llseek lseek lstat/64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat/2
    readlink readlinkat rename renameat/2 rmdir stat/64 statx symlink symlinkat truncate/64 umask
    unlink unlinkat utime utimensat/_time64 utimes
"""
_READING_AND_WRITING = """
    copy_file_range pread64 preadv/2 pwrite64 pwritev/2 read readahead readv sendfile/64 splice
    sync sync_file_range syncfs tee vmsplice write writev
"""
_ATTRIBUTES = """
    fgetxattr flistxattr fremovexattr fsetxattr getxattr/at lgetxattr listxattr/at llistxattr
    lremovexattr lsetxattr removexattr/at setxattr/at
"""
_FILE_SYSTEMS = "fstatfs/64 listmount statfs/64 statmount"
_WAITING_AND_NOTICES = """
    epoll_create/1 epoll_ctl/_old epoll_pwait/2 epoll_wait/_old eventfd/2 fanotify_mark
    inotify_add_watch inotify_init/1 inotify_rm_watch _newselect pipe/2 poll ppoll/_time64
    pselect6/_time64 select
"""
_ASYNCHRONOUS_IO = """
    io_cancel io_destroy io_getevents io_pgetevents/_time64 ioprio_get ioprio_set io_setup io_submit
"""
_MEMORY = """
    brk cachestat madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock/2
    mlockall mmap/2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free
    pkey_mprotect process_mrelease remap_file_pages
"""
_PROCESSES = """
    execve execveat exit exit_group fork getcpu getpgid getpgrp getpid getppid getpriority getrlimit
    getrusage getsid gettid pidfd_open pidfd_send_signal prctl prlimit64 seccomp
    setpgid setpriority setrlimit setsid ugetrlimit uname vfork wait4 waitid waitpid
    landlock_add_rule landlock_create_ruleset landlock_restrict_self sysinfo times
"""
_THREADS = """
    futex/_time64/_requeue/_wait/_waitv/_wake get_robust_list get_thread_area restart_syscall
    riscv_hwprobe rseq set_robust_list set_thread_area set_tid_address uretprobe
"""
_IDENTITY = """
    capget capset getegid/32 geteuid/32 getgid/32 getgroups/32 getresgid/32 getresuid/32 getuid/32
    setfsgid/32 setfsuid/32 setgid/32 setgroups/32 setregid/32 setresgid/32 setresuid/32 setreuid/32
    setuid/32
"""
_SCHEDULING = """
    sched_getaffinity sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min
    sched_getscheduler sched_rr_get_interval/_time64 sched_setaffinity sched_setattr sched_setparam
    sched_setscheduler sched_yield
"""
_SIGNALS = """
    kill pause rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
    rt_sigtimedwait/_time64 rt_tgsigqueueinfo sigaltstack signalfd/4 sigprocmask sigreturn tgkill
    tkill
"""
_TIME = """
    adjtimex alarm clock_adjtime/64 clock_getres/_time64 clock_gettime/64
    clock_nanosleep/_time64 getitimer gettimeofday nanosleep setitimer time timer_create
    timer_delete timer_getoverrun timer_gettime/64 timer_settime/64 timerfd_create
    timerfd_gettime/64 timerfd_settime/64
"""
_SOCKETS = """
    accept/4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg/_time64
    recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair
"""
_SHARING = """
    ipc mq_getsetattr mq_notify mq_open mq_timedreceive/_time64 mq_timedsend/_time64 mq_unlink
    msgctl msgget msgrcv msgsnd semctl semget semop semtimedop/_time64 shmat shmctl shmdt shmget
"""
_OTHER = "getrandom"

_ADMINISTRATION = """
    bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr
    lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open
    quotactl/_fd setdomainname sethostname setns syslog umount/2 unshare
"""

_TRACING = ("process_vm_readv", "process_vm_writev", "ptrace")
_AF_ALG, _AF_VSOCK = 38, 40
_S390 = ("s390", "s390x")
_ADMIN = ("CAP_SYS_ADMIN",)

_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET (sched.h)."""

_PERSONALITIES = (
    0x0,  # PER_LINUX
    0x8,  # PER_LINUX32
    0x20000,  # UNAME26
    0x20008,  # both
    0xFFFFFFFF,  # only returns the current value
)


def _with(capability: str, names: str) -> Rule:
    return Rule(_expand(names), caps=(f"CAP_{capability}",))


def _on(arches: str, names: str) -> Rule:
    return Rule(_expand(names), arches=tuple(arches.split()))


RULES: Final = (
    Rule(
        _expand(
            *(_FILES, _READING_AND_WRITING, _ATTRIBUTES, _FILE_SYSTEMS, _WAITING_AND_NOTICES),
            *(_ASYNCHRONOUS_IO, _MEMORY, _PROCESSES, _THREADS, _IDENTITY, _SCHEDULING),
            *(_SIGNALS, _TIME, _SOCKETS, _SHARING, _OTHER),
        )
    ),
    # Before 4.8 a process could escape its filter by tracing another one.
    Rule(_TRACING, kernel=(4, 8)),
    # All families except AF_ALG (the kernel's crypto interface) and AF_VSOCK (the hypervisor).
    Rule(("socket",), argument=Argument(0, "LT", _AF_ALG)),
    Rule(("socket",), argument=Argument(0, "EQ", _AF_ALG + 1)),
    Rule(("socket",), argument=Argument(0, "GT", _AF_VSOCK)),
    *(Rule(("personality",), argument=Argument(0, "EQ", value)) for value in _PERSONALITIES),
    _on("ppc64le", "sync_file_range2 swapcontext"),
    _on(
        "arm arm64",
        "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
    ),
    _on("amd64 x32", "arch_prctl"),
    _on("amd64 x32 x86", "modify_ldt"),
    _on("s390 s390x", "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr"),
    _on("riscv64", "riscv_flush_icache"),
    _with("DAC_READ_SEARCH", "open_by_handle_at"),
    _with("SYS_ADMIN", _ADMINISTRATION),
    # Only administrators create namespaces; the flags are the second argument on s390.
    Rule(
        ("clone",),
        unless_caps=_ADMIN,
        unless_arches=_S390,
        argument=Argument(0, "MASKED_EQ", _NAMESPACES),
    ),
    Rule(
        ("clone",),
        unless_caps=_ADMIN,
        arches=_S390,
        argument=Argument(1, "MASKED_EQ", _NAMESPACES),
    ),
    # Filters can't read the flags of clone3, which are in memory; libc uses clone after ENOSYS.
    Rule(("clone3",), unless_caps=_ADMIN, errno=ENOSYS),
    _with("SYS_BOOT", "reboot"),
    _with("SYS_CHROOT", "chroot"),
    _with("SYS_MODULE", "delete_module init_module finit_module"),
    _with("SYS_PACCT", "acct"),
    _with(
        "SYS_PTRACE",
        "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    ),
    _with("SYS_RAWIO", "iopl ioperm"),
    _with("SYS_TIME", "settimeofday stime clock_settime/64"),
    _with("SYS_TTY_CONFIG", "vhangup"),
    _with("SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    _with("SYSLOG", "syslog"),
    _with("BPF", "bpf"),
    _with("PERFMON", "perf_event_open"),
)

SUB_ARCHITECTURES: Final = {
    "X86_64": ("X86", "X32"),
    "AARCH64": ("ARM",),
    "MIPS64": ("MIPS", "MIPS64N32"),
    "MIPS64N32": ("MIPS", "MIPS64"),
    "MIPSEL64": ("MIPSEL", "MIPSEL64N32"),
    "MIPSEL64N32": ("MIPSEL", "MIPSEL64"),
    "S390X": ("S390",),
    "RISCV64": (),
    "LOONGARCH64": (),
}
"""Architectures whose programs may run besides those of the native one."""
