"""Loading and saving of images in all kinds of archives."""

import asyncio
import bz2
import gzip
import io
import json
import lzma
import os
import shutil
import stat
import tarfile
from pathlib import Path

import pytest
from tests.support.images import (
    ImagesEngine,
    collect,
    directory,
    docker_archive,
    gnu_tar,
    inspected,
    is_whiteout,
    listed,
    make_tar,
    member,
    oci_archive,
    read_json,
    removed,
    saved,
    sha256,
    small_tar,
    tagged,
    texts,
    three_layers,
    zstd,
)

from palan.api import images as api
from palan.api.errors import InvalidParameter, NotFound


pytestmark = pytest.mark.root

RISCV = '{"os":"linux","architecture":"riscv64"}'
AMD = '{"os":"linux","architecture":"amd64"}'
S390X = '{"os":"linux","architecture":"s390x"}'


@pytest.fixture
async def engine(tmp_path):
    engine = ImagesEngine(tmp_path)
    yield engine
    await engine.close()


async def test_load_of_an_old_archive(engine):
    data = docker_archive(*three_layers(), tags=["rec/old:1", "rec/old:2"])
    assert texts(await engine.load_tar(data)) == [
        "Loaded image: rec/old:1\n",
        "Loaded image: rec/old:2\n",
    ]
    image = engine.images.resolve("rec/old:2")
    lowest, middle, highest = image.layers
    assert (lowest / "opt/dir/file").read_bytes() == b"1"
    assert is_whiteout(middle / "opt/dir")
    assert os.getxattr(highest / "etc", "trusted.overlay.opaque") == b"y"
    # Directories that a layer has no entry for are as in the layer below.
    for layer in (middle, highest):
        info = (layer / "opt").stat()
        assert (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)) == (5, 6, 0o2750)
    assert engine.images.names(image) == ["rec/old:1", "rec/old:2"]
    assert engine.events.actions() == ["load", "load"]
    steps = await engine.images.history(api.ImageHistory(name="rec/old:1"))
    assert [(s.created_by, s.size) for s in steps] == [("step 2", 2), ("step 1", 0), ("step 0", 2)]


async def test_a_name_is_optional(engine):
    [message] = texts(await engine.load_tar(docker_archive(small_tar())))
    [line] = await listed(engine)
    assert message == f"Loaded image ID: {line.id}\n"
    assert line.repo_tags == []


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress, zstd])
async def test_load_of_compressed_archives(engine, compress):
    data = compress(docker_archive(small_tar(), tags=["rec/a:1"]))
    assert texts(await engine.load_tar(data)) == ["Loaded image: rec/a:1\n"]


async def test_saved_images_are_loaded_unchanged(engine, tmp_path):
    await engine.load_tar(docker_archive(*three_layers(), tags=["rec/a:1"]))
    await engine.import_tar(gzip.compress(small_tar()), repo="rec/b", tag="2")
    before = {line.id: line.repo_digests for line in await listed(engine)}
    data = await saved(engine, "rec/a:1", "rec/b:2")
    other = ImagesEngine(tmp_path / "other")
    assert sorted(texts(await other.load_tar(data))) == [
        "Loaded image: rec/a:1\n",
        "Loaded image: rec/b:2\n",
    ]
    assert {line.id: line.repo_digests for line in await listed(other)} == before
    assert await saved(other, "rec/a:1", "rec/b:2") == data
    await other.close()


async def test_an_archive_is_an_oci_layout_and_a_docker_archive(engine):
    image_id = await engine.import_tar(small_tar(), repo="rec/saved", tag="1")
    with tarfile.open(fileobj=io.BytesIO(await saved(engine, "rec/saved:1"))) as archive:
        modes = {info.name: (info.mode, info.mtime) for info in archive}
        documents = {
            name: read_json(archive, name) for name in ("index.json", "manifest.json", "oci-layout")
        }
    assert list(modes)[:2] == ["blobs", "blobs/sha256"]
    assert list(modes)[-3:] == ["index.json", "manifest.json", "oci-layout"]
    assert modes[f"blobs/sha256/{image_id[7:]}"] == (0o444, 0)
    [item] = documents["manifest.json"]
    assert item == {
        "Config": f"blobs/sha256/{image_id[7:]}",
        "RepoTags": ["rec/saved:1"],
        "Layers": [f"blobs/sha256/{sha256(small_tar())[7:]}"],
    }
    [descriptor] = documents["index.json"]["manifests"]
    assert descriptor["annotations"]["io.containerd.image.name"] == "docker.io/rec/saved:1"


async def test_save_by_id_repository_or_not_at_all(engine):
    image_id = await engine.import_tar(small_tar(), repo="rec/saved", tag="1")
    await tagged(engine, image_id, "rec/saved", "2")
    for name, tags in ((image_id, None), ("rec/saved", ["rec/saved:1", "rec/saved:2"])):
        with tarfile.open(fileobj=io.BytesIO(await saved(engine, name))) as archive:
            [item] = read_json(archive, "manifest.json")
        assert item["RepoTags"] == tags
    with tarfile.open(fileobj=io.BytesIO(await saved(engine))) as archive:
        assert archive.getnames() == ["index.json", "oci-layout"]
    with pytest.raises(NotFound, match="No such image: rec/absent:1"):
        await saved(engine, "rec/absent:1")
    with pytest.raises(NotFound, match="no suitable export target found: image with reference"):
        await saved(engine, "rec/saved:1", platform=[RISCV])


async def test_removing_an_image_while_it_is_saved_does_not_hurt(engine):
    await engine.import_tar(small_tar(), repo="rec/a")
    answer = await engine.images.get(api.ImageGet(name="rec/a"))
    chunks = answer.chunks
    data = await anext(chunks)
    await removed(engine, "rec/a")
    data += b"".join([chunk async for chunk in chunks])
    assert texts(await engine.load_tar(data)) == ["Loaded image: rec/a:latest\n"]
    await removed(engine, "rec/a")
    await engine.settle()
    assert engine.files() == (set(), set())


def multi_platform():
    """Return a layout with an index of two images, an absent one, and an attestation."""
    blobs, manifests = [], []

    def add(data, media_type, **more):
        blobs.append(data)
        return {"mediaType": media_type, "digest": sha256(data), "size": len(data), **more}

    for architecture in ("amd64", "riscv64"):
        layer = small_tar(architecture)
        config = {
            "architecture": architecture,
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [sha256(layer)]},
        }
        manifest = {
            "schemaVersion": 2,
            "config": add(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
            "layers": [
                add(gzip.compress(layer, mtime=0), "application/vnd.oci.image.layer.v1.tar+gzip")
            ],
        }
        manifests.append(
            add(
                json.dumps(manifest).encode(),
                "application/vnd.oci.image.manifest.v1+json",
                platform={"os": "linux", "architecture": architecture},
            )
        )
    manifests.append(
        {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": sha256(b"absent"),
            "size": 6,
            "platform": {"os": "linux", "architecture": "s390x"},
        }
    )
    index = {"schemaVersion": 2, "manifests": manifests}
    top = add(
        json.dumps(index).encode(),
        "application/vnd.oci.image.index.v1+json",
        annotations={"org.opencontainers.image.ref.name": "rec/multi:1"},
    )
    return oci_archive(blobs, [top]), top["digest"]


def layout_of(version):
    return make_tar(
        member("oci-layout", version.encode()),
        member("index.json", b'{"schemaVersion": 2, "manifests": []}'),
    )


async def test_an_image_that_is_twice_in_an_archive(engine):
    data = docker_archive(small_tar(), tags=["rec/a:1"])
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        items = read_json(archive, "manifest.json")
        files = []
        for info in archive:
            file = archive.extractfile(info)
            assert file is not None
            files.append((info, file.read()))
    items.append({**items[0], "RepoTags": ["rec/b:1"]})
    twice = make_tar(*files[:-1], member("manifest.json", json.dumps(items).encode()))
    assert texts(await engine.load_tar(twice)) == [
        "Loaded image: rec/a:1\n",
        "Loaded image: rec/b:1\n",
    ]


async def test_an_index_is_kept_whole(engine):
    data, index = multi_platform()
    assert texts(await engine.load_tar(data)) == ["Loaded image: rec/multi:1\n"]
    [line] = await listed(engine, manifests=True)
    assert line.descriptor.digest == index
    assert line.repo_digests == [f"rec/multi@{index}"]
    assert [(m.image_data.platform.architecture, m.available) for m in line.manifests] == [
        ("amd64", True),
        ("riscv64", True),
        ("s390x", False),
    ]
    assert (await inspected(engine, "rec/multi:1")).architecture == "amd64"
    other = await inspected(engine, "rec/multi:1", platform=RISCV)
    assert other.architecture == "riscv64"
    assert (await inspected(engine, other.id)).id == other.id
    assert engine.images.count() == 1
    half = await saved(engine, "rec/multi:1", platform=[RISCV])
    assert await removed(engine, "rec/multi:1") == [
        ("untagged", "rec/multi:1"),
        ("deleted", line.id),
    ]
    await engine.settle()
    assert engine.files() == (set(), set())
    await engine.load_tar(half)
    assert (await inspected(engine, "rec/multi:1")).id == other.id


async def test_one_platform_of_an_index_can_be_removed(engine):
    data, index = multi_platform()
    await engine.load_tar(data)
    with pytest.raises(InvalidParameter, match="Content will be removed from all images"):
        await removed(engine, "rec/multi:1", platforms=[RISCV])
    with pytest.raises(NotFound, match="failed to delete platform linux/s390x for image sha256:"):
        await removed(engine, "rec/multi:1", platforms=[RISCV, S390X], force=True)
    await removed(engine, "rec/multi:1", platforms=[RISCV], force=True)
    with pytest.raises(
        NotFound, match=r"does not provide the specified platform \(linux/riscv64\)"
    ):
        await inspected(engine, "rec/multi:1", platform=RISCV)
    engine = await engine.restart()
    assert (await inspected(engine, "rec/multi:1")).descriptor.digest == index
    await engine.load_tar(data)
    assert (await inspected(engine, "rec/multi:1", platform=RISCV)).architecture == "riscv64"
    await engine.close()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "unrecognized image format"),
        (layout_of("{}"), "unrecognized image format"),
        (layout_of('{"imageLayoutVersion": "9.0"}'), "unsupported OCI version 9.0"),
        (b"nonsense", "unexpected EOF"),
        (small_tar(), "unrecognized image format"),
        (docker_archive(small_tar())[:3000], "unexpected EOF"),
        (
            docker_archive(small_tar(), diff_ids=[sha256(b"x")]),
            "does not match the image configuration",
        ),
        (
            docker_archive(gzip.compress(small_tar()), diff_ids=[sha256(b"x")]),
            "does not match the image configuration",
        ),
        (docker_archive(small_tar(), diff_ids=[]), "lists 1"),
        (docker_archive(small_tar(), diff_ids=["x"]), "invalid layer digest"),
        (docker_archive(b"no tar"), "failed to unpack layer"),
        (docker_archive(make_tar(member("../../evil"))), "leaves the root"),
        (docker_archive(small_tar(), tags=["UPPER:1"]), "must be lowercase"),
        (docker_archive(small_tar(), config={"Env": 5}), "invalid image configuration"),
        (make_tar(member("manifest.json", b"{")), "invalid manifest.json"),
        (make_tar(member("manifest.json", b'[{"Config":"a","Layers":["b"]}]')), "a is missing"),
        (make_tar(member("manifest.json", b'[{"Config":"../a"}]')), "leaves the root"),
        (oci_archive([], [{"digest": sha256(b"x"), "size": 1}]), "not found"),
        (oci_archive([b"x"], [{"digest": sha256(b"x"), "size": 1}]), "invalid manifest"),
        (oci_archive([b"x"], [{"digest": sha256(b"x"), "size": 2}]), "descriptor says 2"),
        (oci_archive([], [{"digest": "sha512:1", "size": 1}]), "not a sha256 digest"),
        (
            make_tar(
                member("oci-layout", b'{"imageLayoutVersion": "1.0.0"}'),
                member("index.json", b"{}"),
                member("blobs/sha256/" + "0" * 64, b"x"),
            ),
            "has the digest",
        ),
    ],
)
async def test_hostile_archives_change_nothing(engine, data, message):
    [text] = texts(await engine.load_tar(data))
    assert message in text
    await engine.settle()
    assert engine.files() == (set(), set())
    assert list(engine.paths.tmp.iterdir()) == []
    assert await listed(engine) == []


async def test_a_layer_cannot_get_out_of_its_directory(engine, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    layer = make_tar(
        member("abs", type=tarfile.SYMTYPE, linkname=str(outside)),
        member("up", type=tarfile.SYMTYPE, linkname="../" * 20 + str(outside)),
        member("abs/a", b"1"),
        member("up/b", b"2"),
    )
    await engine.load_tar(docker_archive(layer, tags=["rec/evil"]))
    assert list(outside.iterdir()) == []
    [unpacked] = engine.images.resolve("rec/evil").layers
    assert (unpacked / str(outside)[1:] / "b").read_bytes() == b"2"


async def test_a_client_that_goes_away_leaves_nothing(engine):
    async def body():
        yield docker_archive(small_tar())[:1000]
        raise ConnectionResetError

    [message] = await collect((await engine.images.load(api.ImageLoad(body=body()))).messages)
    assert message.error
    task = asyncio.create_task(
        collect((await engine.images.load(api.ImageLoad(body=never_ending()))).messages)
    )
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await engine.settle()
    assert engine.files() == (set(), set())
    assert list(engine.paths.tmp.iterdir()) == []


async def never_ending():
    yield docker_archive(small_tar())[:1000]
    await asyncio.Event().wait()


async def test_loading_the_same_at_the_same_time(engine):
    data = docker_archive(*three_layers(), tags=["rec/a:1"])
    answers = await asyncio.gather(*(engine.load_tar(data) for _ in range(4)))
    assert [texts(answer) for answer in answers] == [["Loaded image: rec/a:1\n"]] * 4
    assert len(engine.files()[1]) == 3
    await removed(engine, "rec/a:1")
    await engine.settle()
    assert engine.files() == (set(), set())


async def test_a_missing_platform_is_an_error(engine):
    data = docker_archive(small_tar(), tags=["rec/a:1"])
    assert texts(await engine.load_tar(data, platform=[RISCV])) == [
        "image rec/a:1 was loaded, but doesn't provide the requested platform ([linux/riscv64])"
    ]
    assert texts(await engine.load_tar(data, platform=[AMD])) == ["Loaded image: rec/a:1\n"]


async def test_all_that_a_layer_can_contain(engine):
    """Make a tree with all special kinds of files, packed by GNU tar."""
    tree = engine.paths.tmp / "tree"
    tree.mkdir()
    (tree / "sparse").write_bytes(b"")
    with (tree / "sparse").open("r+b") as file:
        file.seek(5 << 20)
        file.write(b"end")
    (tree / ("long" * 50)).mkdir()
    (tree / ("long" * 50) / "ünï\udcff").write_text("x")
    shutil.copy("/bin/busybox", tree / "capable")
    os.setxattr(
        tree / "capable", "security.capability", bytes.fromhex("0100000200040000" + "00" * 12)
    )
    os.setxattr(tree / "capable", "user.mine", b"value")
    (tree / "setuid").write_text("x")
    (tree / "setuid").chmod(0o4755)
    os.chown(tree / "setuid", 1000, 3_000_000)
    os.mknod(tree / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mkfifo(tree / "fifo")
    (tree / "link").symlink_to("setuid")
    (tree / "hard").hardlink_to(tree / "capable")
    for style in ("posix", "gnu"):
        arguments = ["--xattrs", "--xattrs-include=*"] if style == "posix" else []
        data = gnu_tar("--sparse", f"--format={style}", *arguments, "-C", str(tree), ".")
        image = engine.images.resolve(await engine.import_tar(data))
        [layer] = image.layers
        for path in (tree, *tree.rglob("*")):
            ours, theirs = path.lstat(), (layer / path.relative_to(tree)).lstat()
            for name in ("st_mode", "st_uid", "st_gid", "st_rdev"):
                assert getattr(ours, name) == getattr(theirs, name), path
            if stat.S_ISREG(ours.st_mode):
                assert (layer / path.relative_to(tree)).read_bytes() == path.read_bytes()
            if style == "posix":
                assert ours.st_mtime_ns == theirs.st_mtime_ns
        assert (layer / "sparse").stat().st_blocks < 1000
        assert (layer / "hard").samefile(layer / "capable")
        if style == "posix":
            for name in ("security.capability", "user.mine"):
                assert os.getxattr(layer / "capable", name) == os.getxattr(tree / "capable", name)
    shutil.rmtree(tree)


async def test_hard_links_to_files_of_layers_below(engine):
    lower = make_tar(
        directory("opt", mode=0o750, uid=7),
        member("opt/file", b"lower", mode=0o4755, uid=5, gid=6, mtime=1000),
        member("opt/hidden", b"hidden"),
        member("opt/link", type=tarfile.SYMTYPE, linkname="file"),
    )
    upper = make_tar(
        member("new/hard", type=tarfile.LNKTYPE, linkname="opt/file"),
        member("new/harder", type=tarfile.LNKTYPE, linkname="new/hard"),
        member("new/soft", type=tarfile.LNKTYPE, linkname="opt/link"),
    )
    await engine.load_tar(docker_archive(lower, upper, tags=["a:1"]))
    layer = engine.images.resolve("a:1").layers[1]
    info = (layer / "new/hard").stat()
    # Copied up with its metadata from the layer below, and still one file under all names.
    assert (info.st_mode & 0o7777, info.st_uid, info.st_gid, info.st_mtime) == (0o4755, 5, 6, 1000)
    assert (layer / "opt/file").stat().st_ino == (layer / "new/harder").stat().st_ino == info.st_ino
    assert (layer / "new/hard").read_bytes() == b"lower"
    assert (layer / "new/soft").readlink() == Path("file")
    assert ((layer / "opt").stat().st_mode & 0o7777, (layer / "opt").stat().st_uid) == (0o750, 7)


@pytest.mark.parametrize("linkname", ["opt/hidden", "opt/absent", "opt", "other/file"])
async def test_hard_links_to_what_is_not_seen_any_more(engine, linkname):
    layers = (
        make_tar(directory("opt"), member("opt/hidden", b"1"), member("other/file", b"2")),
        make_tar(member("opt/.wh.hidden"), member("other/.wh..wh..opq")),
        make_tar(member("hard", type=tarfile.LNKTYPE, linkname=linkname)),
    )
    messages = await engine.load_tar(docker_archive(*layers, tags=["a:1"]))
    assert "hard link" in texts(messages)[-1]
    assert await listed(engine) == []
