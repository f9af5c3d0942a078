"""Parts of pull and push: scopes, credentials, names, ranges, partial downloads."""

import asyncio
import base64
import contextlib
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.images import stream

from palan.api.auth import AuthConfig
from palan.api.codec import decode_header
from palan.api.errors import InvalidParameter
from palan.api.images import ImageCreate, ProgressDetail
from palan.engine.images.download import _begins_at
from palan.engine.images.downloads import Downloads
from palan.engine.images.formats import Descriptor, PlatformField
from palan.engine.images.platform import Platform
from palan.engine.images.progress import BlobProgress, Progress
from palan.engine.images.pull import _best, _media_type, _named
from palan.engine.images.reference import parse
from palan.engine.images.remote import credentials_for
from palan.engine.images.search import _split
from palan.registry.credentials import Credentials
from palan.registry.refusals import error_details
from palan.registry.server import _merged


DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("scopes", "merged"),
    [
        ((), ()),
        (("repository:a:pull", "repository:a:pull"), ("repository:a:pull",)),
        (("repository:a:pull,push", "repository:a:pull"), ("repository:a:pull,push",)),
        (("repository:h:5/a:pull", "repository:b:push"),) * 2,
        (("repository:a:pull", "repository:a:delete"), ("repository:a:pull,delete",)),
    ],
)
def test_scopes_of_one_resource_are_merged(scopes, merged):
    assert _merged(scopes) == merged


def header(**auth):
    return base64.urlsafe_b64encode(json.dumps(auth).encode()).decode()


def credentials(header: str, domain: str) -> Credentials:
    auth: AuthConfig | None = None
    with contextlib.suppress(InvalidParameter):
        auth = decode_header(AuthConfig, header)
    return credentials_for(auth, domain)


def test_credentials_are_used_only_for_the_registry_they_name():
    def user(domain, **more):
        return credentials(header(username="me", password="p", **more), domain).username

    assert user("r:5000") == "me"
    assert user("r:5000", serveraddress="r:5000") == "me"
    assert user("r:5000", serveraddress="https://r:5000/v2/") == "me"
    assert user("docker.io", serveraddress="https://index.docker.io/v1/") == "me"
    assert user("r:5000", serveraddress="r:5001") == ""
    assert user("docker.io", serveraddress="other") == ""


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40))
def test_malformed_headers_give_no_credentials(text):
    assert credentials(text, "r").password == ""


def test_credentials_are_decoded_with_and_without_padding():
    for name in ("a", "ab", "abc"):
        text = header(username=name, password="p")
        assert credentials(text, "r").username == name
        assert credentials(text.rstrip("="), "r").username == name


@pytest.mark.parametrize(
    ("name", "tag", "meant"),
    [
        ("a", "", "docker.io/library/a"),
        ("a:1", "", "docker.io/library/a:1"),
        ("a:1", "2", "docker.io/library/a:2"),
        ("a", DIGEST, f"docker.io/library/a@{DIGEST}"),
        (f"a:1@{DIGEST}", "", f"docker.io/library/a@{DIGEST}"),
    ],
)
def test_the_reference_that_a_pull_resolves(name, tag, meant):
    request = ImageCreate(body=stream(b""), from_image=name, tag=tag)
    assert str(_named(request)) == meant
    assert parse(meant) == _named(request)


def entry(system, architecture, variant="", digest=DIGEST, **annotations):
    platform = PlatformField(os=system, architecture=architecture, variant=variant)
    return Descriptor(
        digest=digest, size=1, platform=platform if system else None, annotations=annotations
    )


def test_the_best_manifest_of_an_index():
    attestation = entry("linux", "amd64", **{"vnd.docker.reference.digest": DIGEST})
    untold, bad = entry("", ""), entry("linux", "amd64", digest="md5:x")
    amd64, arm7, arm6 = (
        entry("linux", "amd64"),
        entry("linux", "arm", "v7"),
        entry("linux", "arm", "v6"),
    )
    index = [attestation, bad, arm6, untold, amd64, arm7]
    assert _best(index, Platform.of("linux", "amd64")) is amd64
    assert _best(index, Platform.of("linux", "arm", "v7")) is arm7
    assert _best(index, Platform.of("linux", "arm", "v6")) is arm6
    assert _best(index, Platform.of("linux", "s390x")) is untold
    assert _best([attestation, bad], Platform.of("linux", "amd64")) is None


def test_media_types_of_manifests():
    index, oci = (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
    )
    assert _media_type(b'{"mediaType": "x/y+json"}', "z/json") == "x/y+json"
    assert _media_type(b"{}", "text/plain") == oci
    assert _media_type(b'{"manifests": []}', "application/json") == index
    for old in (
        b'{"schemaVersion": 1}',
        b'{"mediaType": "%s1+json"}' % b"application/vnd.docker.distribution.manifest.v",
    ):
        with pytest.raises(InvalidParameter, match="schema version 1"):
            _media_type(old, "")
    with pytest.raises(InvalidParameter):
        _media_type(b"[]", "")


def test_ranges():
    assert _begins_at("bytes 5-9/10", 5)
    assert _begins_at("BYTES  5-9/*", 5)
    assert not _begins_at("bytes 50-59/60", 5)
    assert not _begins_at("", 5)
    assert not _begins_at("items 5-9/10", 5)


def test_search_terms_name_a_registry_and_a_term():
    assert _split("app") == ("docker.io", "app")
    assert _split("library/app") == ("docker.io", "app")
    assert _split("team/app") == ("docker.io", "team/app")
    assert _split("localhost/app") == ("localhost", "app")
    assert _split("r:5000/team/app") == ("r:5000", "team/app")


def test_error_details():
    both = b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "not here"}, {"code": "X"}]}'
    assert error_details(both, "application/json") == ("manifest unknown", "not here")
    assert error_details(b"plain words", "text/plain") == ("", "plain words")
    for odd in (b"", b"[]", b'{"errors": 5}', b'{"errors": []}', b"\xff"):
        assert error_details(odd, "application/json") == ("", "")


async def test_abandoned_downloads_are_removed(tmp_path):
    downloads = Downloads(tmp_path / "downloads")
    old, new, busy = ("sha256:" + digit * 64 for digit in "abc")
    for digest in (old, new, busy):
        downloads.file(digest).write_bytes(b"12345")
    os.utime(downloads.file(old), (0, 0))
    async with downloads.alone(busy):
        assert downloads.remove_stale() == 5
        assert downloads.remove_stale(0) == 5
        downloads.remove([busy])
        assert [file.name for file in (tmp_path / "downloads").iterdir()] == ["c" * 64]
    # A blob that a pull has downloaded and will store when all others are complete.
    downloads.hold(busy)
    downloads.hold(busy)
    downloads.remove([busy])
    downloads.release([busy])
    assert downloads.remove_stale(0) == 0
    assert downloads.file(busy).exists()
    downloads.release([busy])
    downloads.remove([busy])
    assert not list((tmp_path / "downloads").iterdir())


async def test_lines_keep_their_order_and_only_the_last_count_is_sent():
    blobs, progress = BlobProgress(), Progress()
    blobs.follow(DIGEST, progress)

    async def work():
        blobs.report(DIGEST, "Pulling fs layer")
        for count in range(1, 11):
            blobs.report(DIGEST, "Downloading", count, 10)
        blobs.report(DIGEST, "Download complete")
        blobs.report("sha256:" + "b" * 64, "Download complete")
        blobs.unfollow(DIGEST, progress)
        blobs.report(DIGEST, "Pull complete")
        await asyncio.sleep(0)

    lines = [line async for line in progress.during(work())]
    details = [line.progress_detail for line in lines]
    assert all(isinstance(detail, ProgressDetail) for detail in details)
    counts = [getattr(detail, "current", None) for detail in details]
    assert list(zip([line.status for line in lines], counts, strict=True)) == [
        ("Pulling fs layer", 0), ("Downloading", 10), ("Download complete", 0),
    ]  # fmt: skip
    assert {line.id for line in lines} == {"a" * 12}


async def test_closing_the_lines_cancels_the_work():
    progress = Progress()
    ended = []

    async def work():
        progress.report(DIGEST, "Pulling fs layer")
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    lines = progress.during(work())
    assert (await anext(lines)).status == "Pulling fs layer"
    await lines.aclose()
    assert ended == [True]


async def test_exceptions_of_the_work_follow_its_lines():
    progress = Progress()

    async def work():
        progress.report(DIGEST, "Pulling fs layer")
        raise InvalidParameter("no")

    lines = progress.during(work())
    assert (await anext(lines)).status == "Pulling fs layer"
    with pytest.raises(InvalidParameter, match="no"):
        await anext(lines)
