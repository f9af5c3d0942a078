"""The image room's code without I/O: platforms, patterns, documents, times."""

import pytest

from palan.api.errors import InvalidParameter
from palan.engine.images.describe import created_seconds, rfc3339
from palan.engine.images.formats import ImageSpec, Index, Manifest, chain_ids, decode, encode
from palan.engine.images.listing import compile_references, matches_reference
from palan.engine.images.platform import (
    Platform,
    amd64_level,
    foreign_platform,
    host_platform,
    native_platform,
    parse_json,
    parse_specifier,
)
from palan.store.images import NameRecord


A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


# ---- platforms ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/armhf", "linux/arm/v7"),
        ("arm/v6", "linux/arm/v6"),
        ("amd64", "linux/amd64"),
        ("windows/amd64", "windows/amd64"),
    ],
)
def test_platforms_are_read(text, platform):
    assert str(parse_specifier(text)) == platform


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a/b/c/d", '"a/b/c/d": cannot parse platform specifier: invalid argument'),
        ("bogus", '"bogus": unknown operating system or architecture: invalid argument'),
        ("linux/ ", '" " is an invalid component'),
    ],
)
def test_invalid_platforms_are_refused(text, message):
    with pytest.raises(InvalidParameter) as caught:
        parse_specifier(text)
    assert caught.value.message.startswith(message)


def test_platforms_come_as_json_too():
    assert parse_json('{"os":"linux","architecture":"arm","variant":"v7"}') == Platform(
        "linux", "arm", "v7"
    )
    with pytest.raises(InvalidParameter) as caught:
        parse_json("linux")
    assert caught.value.message == (
        "failed to parse platform: invalid character 'l' looking for beginning of value"
    )
    for text, message in (
        ("{}", "both OS and Architecture must be provided"),
        ('{"os":"linux"}', "both OS and Architecture must be provided"),
        ('{"variant":"v7"}', "optional platform fields provided"),
    ):
        with pytest.raises(InvalidParameter, match=message):
            parse_json(text)
    for text in ("", "[]", "1", '{"os":1,"architecture":"x"}', '{"os":"linux"}', "[" * 10000):
        with pytest.raises(InvalidParameter):
            parse_json(text)


def test_the_best_platform_wins():
    wanted = Platform("linux", "arm", "v7")
    ranks = [Platform("linux", "arm", v).rank(wanted) for v in ("v7", "", "v6", "v5", "v8")]
    assert ranks == [0, 0, 1, 2, None]
    assert Platform("linux", "amd64", "v3").rank(Platform("linux", "amd64")) is None
    assert Platform("windows", "amd64").rank(Platform("linux", "amd64")) is None


@pytest.mark.parametrize(
    ("machine", "best_first"),
    [
        ("linux/amd64/v3", ["amd64/v3", "amd64/v2", "amd64", "386"]),
        ("linux/amd64", ["amd64", "386"]),
        ("linux/386", ["386"]),
        ("linux/arm64", ["arm64", "arm/v8", "arm/v7", "arm/v6", "arm/v5"]),
        ("linux/arm64/v9.1", ["arm64/v9.1", "arm64/v9", "arm64/v8.6", "arm64/v8.5", "arm64"]),
        ("linux/arm/v6", ["arm/v6", "arm/v5"]),
        ("linux/arm64/bogus", ["arm64/bogus", "arm/v8"]),
        ("linux/riscv64", ["riscv64"]),
    ],
)
def test_a_machine_runs_what_was_made_for_less(machine, best_first):
    wanted = parse_specifier(machine)
    told = [parse_specifier(f"linux/{each}") for each in best_first]
    ranks = [platform.rank(wanted) for platform in told]
    assert None not in ranks
    assert ranks == sorted({rank for rank in ranks if rank is not None})
    assert [platform.rank(wanted, strict=True) for platform in told] == [0] + [None] * (
        len(told) - 1
    )
    for other in ("amd64/v4", "arm64/v9.2", "arm/v9", "s390x", "riscv64/x"):
        assert parse_specifier(f"linux/{other}").rank(wanted) is None


def test_an_image_for_another_machine_is_warned_about():
    host = host_platform()
    [warning] = foreign_platform(Platform("linux", "s390x"))
    assert warning == (
        "The requested image's platform (linux/s390x) does not match the detected host"
        f" platform ({host}) and no specific platform was requested"
    )
    for image in (host, native_platform(), Platform("linux", ""), Platform("", "")):
        assert foreign_platform(image) == []


def test_the_level_of_a_processor(tmp_path):
    flags = {"v2": "cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3"}
    flags["v3"] = flags["v2"] + " abm avx avx2 bmi1 bmi2 f16c fma movbe xsave"
    flags["v4"] = flags["v3"] + " avx512bw avx512cd avx512dq avx512f avx512vl"
    cpuinfo = tmp_path / "cpuinfo"
    for level, told in flags.items():
        cpuinfo.write_text(f"processor\t: 0\nflags\t\t: fpu {told} other\nbugs\t: x\n")
        assert amd64_level(cpuinfo) == level
    cpuinfo.write_text(f"flags\t\t: {flags['v4'].replace('ssse3', '')}\n")
    assert amd64_level(cpuinfo) == ""
    assert amd64_level(tmp_path / "absent") == ""


# ---- patterns ----------------------------------------------------------------------


def test_a_reference_matches_with_and_without_its_tag():
    name = NameRecord("docker.io/library/busybox:1", A, 0)

    def matches(*patterns: str) -> bool:
        return matches_reference(name, compile_references(patterns))

    assert matches("busybox")
    assert matches("busybox:*", "[bad")
    assert not matches("[bad", "busybox:*")  # as in dockerd
    assert not matches("busybox:2", "docker.io/*")


def test_references_are_matched_without_backtracking():
    name = NameRecord(f"docker.io/library/{'a' * 200}:{'a' * 120}", A, 0)
    assert not matches_reference(name, compile_references(["*" * 60 + "x", "*a" * 60 + "b"]))


# ---- documents ---------------------------------------------------------------------


def test_documents_are_read_as_kindly_as_go_does():
    spec = decode(
        b'{"config":{"Env":null,"Cmd":"sh","Volumes":{"/a":{}},"Unknown":1,"Healthcheck":null},'
        b'"rootfs":{"type":"layers","diff_ids":null},"history":null,"more":[null]}',
        ImageSpec,
        "image configuration",
    )
    assert spec.config is not None
    assert (spec.config.cmd, spec.config.env) == (["sh"], [])
    assert spec.rootfs.diff_ids == []


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"{}", b'{"rootfs":1}', b"\xff", b"[" * 100_000, b'{"rootfs":{},"os":1}'],
)
def test_an_invalid_configuration_is_refused(data):
    with pytest.raises(InvalidParameter, match="invalid image configuration"):
        decode(data, ImageSpec, "image configuration")


def test_a_manifest_is_written_as_it_is_read():
    data = (
        b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",'
        b'"config":{"mediaType":"a","digest":"%s","size":1},'
        b'"layers":[{"mediaType":"b","digest":"%s","size":2}]}'
    ) % (A.encode(), B.encode())
    assert encode(decode(data, Manifest, "manifest")) == data


def test_descriptors_may_say_their_platform():
    index = decode(
        b'{"manifests":[{"digest":"x","size":1,"platform":{"os":"linux","architecture":"arm64",'
        b'"variant":"v8","os.version":"1"}},{"digest":"y","size":2}]}',
        Index,
        "index",
    )
    assert [str(d.as_platform()) for d in index.manifests] == ["linux/arm64", "None"]


def test_chain_ids_are_as_the_specification_says():
    import hashlib

    expected = "sha256:" + hashlib.sha256(f"{A} {B}".encode()).hexdigest()
    assert chain_ids([A, B]) == [A, expected]
    assert chain_ids([]) == []
    with pytest.raises(InvalidParameter):
        chain_ids(["sha256:x"])


# ---- times -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-23T09:29:48.752495531Z", 1795426188),
        ("2026-11-23T10:29:48+01:00", 1795426188),
        ("1970-01-01T00:00:00Z", 0),
        ("0001-01-01T00:00:00Z", -62135596800),
        ("", 0),
        ("yesterday", 0),
        ("2026-13-45T99:99:99Z", 0),
    ],
)
def test_times_of_documents_are_read(text, seconds):
    assert created_seconds(text) == seconds


def test_times_are_written_as_go_writes_them():
    assert rfc3339(1795426188752495531) == "2026-11-23T09:29:48.752495531Z"
    assert rfc3339(1795426188700000000) == "2026-11-23T09:29:48.7Z"
    assert rfc3339(1795426188000000000) == "2026-11-23T09:29:48Z"
