import json

import pytest

from palan.api.errors import InvalidParameter
from palan.engine.oci.capabilities import DEFAULT, KNOWN
from palan.engine.oci.seccomp import custom_profile, default_profile, seccomp_profile


def rules(profile, name):
    return [call for call in profile["syscalls"] if name in call["names"]]


def test_the_default_allows_what_programs_need():
    profile = default_profile(DEFAULT, "amd64")
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    assert profile["defaultErrnoRet"] == 1
    assert profile["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    everywhere = profile["syscalls"][0]
    assert everywhere["action"] == "SCMP_ACT_ALLOW"
    assert "args" not in everywhere
    assert len(everywhere["names"]) == len(set(everywhere["names"])) == 361
    for name in ("read", "openat2", "clock_gettime64", "futex_time64", "chown32", "statx"):
        assert name in everywhere["names"]
    for name in ("mount", "keyctl", "add_key", "kexec_load", "userfaultfd", "io_uring_setup"):
        assert not rules(profile, name)


def test_capabilities_open_the_calls_that_they_are_for():
    assert not rules(default_profile(DEFAULT, "amd64"), "mount")
    for capability, name in (
        ("CAP_SYS_ADMIN", "mount"),
        ("CAP_SYS_TIME", "clock_settime64"),
        ("CAP_SYS_MODULE", "init_module"),
        ("CAP_SYSLOG", "syslog"),
        ("CAP_BPF", "bpf"),
    ):
        profile = default_profile([*DEFAULT, capability], "amd64")
        assert rules(profile, name)[0]["action"] == "SCMP_ACT_ALLOW"


def test_namespaces_are_for_administrators():
    plain, admin = default_profile(DEFAULT, "amd64"), default_profile(KNOWN, "amd64")
    (clone,) = rules(plain, "clone")
    assert clone["args"] == [{"index": 0, "value": 0x7E020000, "op": "SCMP_CMP_MASKED_EQ"}]
    (clone3,) = rules(plain, "clone3")
    assert (clone3["action"], clone3["errnoRet"]) == ("SCMP_ACT_ERRNO", 38)
    assert "args" not in rules(admin, "clone")[0]
    assert [call["action"] for call in rules(admin, "clone3")] == ["SCMP_ACT_ALLOW"]


def test_s390_has_the_flags_elsewhere():
    (clone,) = rules(default_profile(DEFAULT, "s390x"), "clone")
    assert clone["args"][0]["index"] == 1


def test_address_families_between_and_around_the_two_that_are_closed():
    conditions = [call["args"][0] for call in rules(default_profile(DEFAULT, "amd64"), "socket")]
    assert [(c["op"], c["value"]) for c in conditions] == [
        ("SCMP_CMP_LT", 38),
        ("SCMP_CMP_EQ", 39),
        ("SCMP_CMP_GT", 40),
    ]


def test_architecture_and_kernel():
    assert rules(default_profile(DEFAULT, "amd64"), "arch_prctl")
    assert not rules(default_profile(DEFAULT, "arm64"), "arch_prctl")
    assert rules(default_profile(DEFAULT, "arm64"), "cacheflush")
    assert rules(default_profile(DEFAULT, "amd64"), "ptrace")
    assert not rules(default_profile(DEFAULT, "amd64", (4, 7)), "ptrace")
    assert "architectures" not in default_profile(DEFAULT, "ppc64le")


def profile(**fields):
    return json.dumps({"defaultAction": "SCMP_ACT_ERRNO", **fields})


def test_a_profile_in_dockers_format():
    text = profile(
        defaultErrnoRet=38,
        archMap=[
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
        ],
        syscalls=[
            {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW", "args": None},
            {"name": "old", "action": "SCMP_ACT_LOG"},
            {
                "names": ["personality"],
                "action": "SCMP_ACT_ALLOW",
                "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}],
            },
            {"names": ["a"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["b"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["c"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64"]}},
            {"names": ["d"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "6.0"}},
            {"names": ["e"], "action": "SCMP_ACT_ALLOW", "excludes": {"minKernel": "4.8"}},
            {"names": ["f"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "comment": "why"},
        ],
    )
    result = custom_profile(text, DEFAULT, "amd64", (5, 10))
    assert result is not None
    assert result["defaultErrnoRet"] == 38
    assert result["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    assert [call["names"] for call in result["syscalls"]] == [
        ["read", "write"],
        ["old"],
        ["personality"],
        ["b"],
        ["f"],
    ]
    assert result["syscalls"][2]["args"] == [
        {"index": 0, "value": 8, "valueTwo": 0, "op": "SCMP_CMP_EQ"}
    ]


def test_an_empty_profile_means_unconfined():
    assert custom_profile("{}", DEFAULT, "amd64") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Decoding seccomp profile failed: unexpected end of JSON input"),
        ("[]", "Decoding seccomp profile failed: "),
        (profile(syscalls="x"), "Decoding seccomp profile failed: "),
        (
            profile(architectures=["SCMP_ARCH_X86"], archMap=[{"architecture": "x"}]),
            "both 'architectures' and 'archMap' are specified",
        ),
        (
            profile(syscalls=[{"name": "a", "names": ["b"], "action": "SCMP_ACT_ALLOW"}]),
            "both 'name' and 'names' are specified",
        ),
        (profile(syscalls=[{"names": ["b"], "action": "ALLOW"}]), "Decoding seccomp profile"),
        (
            profile(
                syscalls=[
                    {
                        "names": ["b"],
                        "action": "SCMP_ACT_ALLOW",
                        "includes": {"minKernel": "new"},
                    }
                ]
            ),
            "Decoding seccomp profile failed: invalid kernel version: new",
        ),
    ],
)
def test_broken_profiles_are_the_callers_mistake(text, message):
    with pytest.raises(InvalidParameter) as caught:
        custom_profile(text, DEFAULT, "amd64")
    assert caught.value.message.startswith(message)


def choose(asked, *, default="builtin", privileged=False, enabled=True):
    return seccomp_profile(
        asked,
        default=default,
        privileged=privileged,
        capabilities=DEFAULT,
        architecture="amd64",
        kernel=(6, 1),
        enabled=enabled,
    )


def test_choice_of_the_profile():
    builtin = default_profile(DEFAULT, "amd64", (6, 1))
    assert choose("") == builtin
    assert choose("unconfined") is None
    assert choose("", privileged=True) is None
    assert choose("builtin", privileged=True) == builtin
    assert choose("", default="unconfined") is None
    assert choose("builtin", default="unconfined") == builtin
    assert choose("", default=profile()) == {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": []}
    assert choose("", enabled=False) is None
    with pytest.raises(InvalidParameter, match="seccomp is not enabled in your kernel"):
        choose(profile(), enabled=False)
