"""The room of images without containers: names, lists, removal and restarts."""

import gzip
import shutil

import pytest
from tests.support.commits import Commits
from tests.support.images import (
    FakeContainer,
    ImagesEngine,
    docker_archive,
    inspected,
    listed,
    removed,
    sha256,
    small_tar,
    tagged,
    texts,
    three_layers,
)

from palan.api import Filters
from palan.api import images as api
from palan.api.errors import Conflict, InvalidParameter, NotFound
from palan.api.results import NoContent
from palan.engine.events import SCHEMA as EVENTS
from palan.engine.events import EventJournal
from palan.store.images import NameRecord, Rows


pytestmark = pytest.mark.root

AMD = '{"os":"linux","architecture":"amd64"}'


@pytest.fixture
async def engine(tmp_path):
    engine = ImagesEngine(tmp_path)
    yield engine
    await engine.close()


# ---- names -------------------------------------------------------------------------


async def test_names_ids_and_their_beginnings(engine):
    image_id = await engine.import_tar(small_tar(), repo="rec/base", tag="1")
    digest = (await inspected(engine, image_id)).descriptor.digest
    for text in (
        "rec/base:1",
        "docker.io/rec/base:1",
        image_id,
        image_id[7:],
        image_id[7:19],
        image_id[:19],
        digest,
        f"rec/base@{digest}",
        f"rec/base:1@{digest}",
    ):
        assert engine.images.resolve(text).id == image_id, text
    for text, message in (
        ("rec/base", "No such image: rec/base:latest"),
        ("rec/absent:1", "No such image: rec/absent:1"),
        (f"rec/other@{digest}", f"No such image: rec/other@{digest}"),
        (sha256(b"x"), f"No such image: {sha256(b'x')}"),
        (sha256(b"x")[7:], f"No such image: {sha256(b'x')}"),
        ("abcdef", "No such image: abcdef:latest"),
        (image_id[7:10], f"No such image: {image_id[7:10]}:latest"),
    ):
        with pytest.raises(NotFound) as caught:
            engine.images.resolve(text)
        assert caught.value.message == message
    with pytest.raises(InvalidParameter, match="must be lowercase"):
        engine.images.resolve("UPPER")


async def test_a_name_wins_over_the_beginning_of_an_id(engine):
    first = await engine.import_tar(small_tar())
    second = await engine.import_tar(small_tar("other"), repo=first[7:13], tag="latest")
    assert engine.images.resolve(first[7:13]).id == second


async def test_tagging(engine):
    first = await engine.import_tar(small_tar(), repo="rec/a", tag="1")
    second = await engine.import_tar(small_tar("2"), repo="rec/b", tag="1")
    await tagged(engine, "rec/a:1", "rec/c")
    await tagged(engine, "rec/a:1", "rec/c:two")
    await tagged(engine, "rec/a:1", "rec/c:two", "three")
    answer = await engine.images.tag(api.ImageTag(name="rec/a:1", tag="x"))
    assert answer == NoContent(status=200)  # nothing was created
    answer = await inspected(engine, "rec/a:1")
    assert answer.repo_tags == ["rec/a:1", "rec/c:latest", "rec/c:three", "rec/c:two"]
    assert [d.split("@")[0] for d in answer.repo_digests] == ["rec/a", "rec/c"]
    await tagged(engine, "rec/b:1", "rec/a", "1")
    assert engine.images.resolve("rec/a:1").id == second
    assert engine.images.resolve("rec/c").id == first
    with pytest.raises(NotFound, match="No such image: rec/absent:1"):
        await tagged(engine, "rec/absent:1", "rec/x")
    with pytest.raises(NotFound, match="invalid reference format"):
        await tagged(engine, "rec/a::1", "rec/x")
    for repo, tag in (
        ("UPPER", ""),
        ("rec/x", "a b"),
        (f"rec/x@{sha256(b'x')}", ""),
        ("sha256", "x"),
    ):
        with pytest.raises(InvalidParameter):
            await tagged(engine, "rec/a:1", repo, tag)


async def test_a_name_that_moves_leaves_a_dangling_image(engine):
    first = await engine.import_tar(small_tar(), repo="rec/a")
    await engine.import_tar(small_tar("2"), repo="rec/a")
    [line] = await listed(engine, filters={"dangling": ["true"]})
    assert line.id == first
    answer = await engine.images.prune(api.ImagePrune())
    assert [item.deleted for item in answer.images_deleted or []] == [first]
    assert answer.space_reclaimed > 6


async def test_the_same_image_under_two_manifests(engine):
    """One image with two manifest digests: one has its layer uncompressed, one compressed."""
    plain = docker_archive(small_tar(), tags=["rec/a:1"])
    packed = docker_archive(
        gzip.compress(small_tar()), tags=["rec/a:2"], diff_ids=[sha256(small_tar())]
    )
    await engine.load_tar(plain)
    await engine.load_tar(packed)
    [line] = await listed(engine)
    assert line.repo_tags == ["rec/a:1", "rec/a:2"]
    assert len(line.repo_digests or []) == 2
    # When a name moves from one to the other, only blobs are released.
    await tagged(engine, "rec/a:2", "rec/a", "1")
    [line] = await listed(engine)
    assert line.repo_tags == ["rec/a:1", "rec/a:2"]
    assert len(line.repo_digests or []) == 1
    await engine.settle()
    assert sha256(small_tar())[7:] not in engine.files()[0]
    await removed(engine, line.id, force=True)
    await engine.settle()
    assert engine.files() == (set(), set())


# ---- lists -------------------------------------------------------------------------


async def test_filters(engine):
    old = docker_archive(small_tar("1"), tags=["rec/old:1"], config={"Labels": {"a": "b"}})
    await engine.load_tar(old)
    await engine.import_tar(small_tar("2"), repo="rec/new", tag="one")
    await tagged(engine, "rec/new:one", "rec/new", "two")
    await engine.import_tar(small_tar("3"))

    async def tags(**filters):
        return [
            line.repo_tags
            for line in await listed(
                engine, filters={name.replace("_not", "!"): v for name, v in filters.items()}
            )
        ]

    new, old_ = ["rec/new:one", "rec/new:two"], ["rec/old:1"]
    dangling: list[str] = []
    assert sorted(await tags()) == [dangling, new, old_]
    assert (await tags())[-1] == old_
    assert await tags(dangling=["true"]) == [dangling]
    assert sorted(await tags(dangling=["false"])) == [new, old_]
    assert await tags(label=["a"]) == [old_]
    assert await tags(label=["a=x"]) == []
    assert sorted(await tags(label_not=["a=b"])) == [dangling, new]
    assert await tags(before=["rec/new:one"]) == [old_]
    assert sorted(await tags(since=["rec/old:1"])) == [dangling, new]
    assert await tags(until=["24h"]) == [old_]
    assert await tags(until=["24h", "1h"]) == [old_]
    assert await tags(until=["24h", "2000-01-01"]) == []
    assert await tags(reference=["rec/new:o*"]) == [["rec/new:one"]]
    assert await tags(reference=["docker.io/rec/o*"]) == [old_]
    assert await tags(reference=["docker.io/rec/new:two", "rec/old"]) == [["rec/new:two"], old_]
    assert await tags(reference=["[bad"]) == []
    assert await tags(reference=["[bad", "rec/old"]) == []
    assert await tags(reference=["rec/old", "[bad"]) == [old_]
    for filters, error, message in (
        ({"dangling": ["maybe"]}, InvalidParameter, r"invalid filter 'dangling=\[maybe\]'"),
        ({"before": ["rec/absent"]}, NotFound, "No such image: rec/absent:latest"),
        ({"until": ["bogus"]}, InvalidParameter, "invalid value for 'until' filter"),
        ({"until": [""]}, InvalidParameter, "value is empty"),
    ):
        with pytest.raises(error, match=message):
            await tags(**filters)


async def test_images_of_the_same_second_have_an_order(engine):
    for number in (1, 3, 2):
        config = {"created": f"2020-01-02T03:04:05.{number}Z"}
        data = docker_archive(small_tar(str(number)), tags=[f"rec/{number}"], image=config)
        await engine.load_tar(data)
    newest_first = [line.repo_tags[0] for line in await listed(engine)]
    assert newest_first == ["rec/3:latest", "rec/2:latest", "rec/1:latest"]
    for name in ("before", "since"):
        [line] = await listed(engine, filters={name: ["rec/2"]})
        assert line.repo_tags == ["rec/1:latest" if name == "before" else "rec/3:latest"]


async def test_sizes(engine):
    base = small_tar("x" * 1000)
    shared = 1000 + len(base)  # unpacked, and as a blob
    await engine.load_tar(docker_archive(base, tags=["rec/a"]))
    await engine.load_tar(docker_archive(base, small_tar("y" * 10), tags=["rec/b"]))
    lines = {line.repo_tags[0]: line for line in await listed(engine, shared_size=True)}
    assert {line.shared_size for line in lines.values()} == {shared}
    assert engine.images.size(lines["rec/b:latest"].id) == 1010
    inspected_size = (await inspected(engine, "rec/b")).size
    assert lines["rec/b:latest"].size == inspected_size + 1010
    images, total = await engine.images.disk_usage()
    assert [line.shared_size for line in images] == [shared, shared]
    assert total == sum(line.size for line in images) - shared
    assert engine.images.descendants(["rec/a"]) == {line.id for line in lines.values()}
    assert engine.images.descendants(["rec/b", "absent", "UPPER"]) == {lines["rec/b:latest"].id}


async def test_lists_can_say_more(engine):
    image_id = await engine.import_tar(small_tar(), repo="rec/a")
    engine.containers.all.append(FakeContainer("c" * 64, image_id))
    [line] = await listed(engine, manifests=True)
    assert line.containers == 1
    [manifest] = line.manifests
    assert manifest.image_data.containers == ["c" * 64]
    assert manifest.size.total == manifest.size.content + 6
    assert engine.images.descriptor(image_id).platform.os == "linux"
    with pytest.raises(InvalidParameter, match="identity requires manifests=1"):
        await listed(engine, identity=True)
    with pytest.raises(InvalidParameter, match="conflicting options"):
        await inspected(engine, "rec/a", manifests=True, platform=AMD)


# ---- removal -----------------------------------------------------------------------


async def test_removing(engine):
    image_id = await engine.import_tar(small_tar(), repo="rec/a", tag="1")
    await tagged(engine, "rec/a:1", "rec/a", "2")
    with pytest.raises(Conflict) as caught:
        await removed(engine, image_id)
    assert caught.value.message == (
        f"conflict: unable to delete {image_id[7:19]} (must be forced) - image is referenced"
        " in multiple repositories"
    )
    assert await removed(engine, "rec/a:2") == [("untagged", "rec/a:2")]
    assert await removed(engine, "rec/a:1") == [("untagged", "rec/a:1"), ("deleted", image_id)]
    assert engine.events.actions()[-3:] == ["untag", "untag", "delete"]
    told = [attributes["name"] for *_, attributes in engine.events.seen[-3:]]
    assert told == ["rec/a:2", "rec/a:1", image_id]
    for text, message in (
        ("rec/a:1", "No such image: rec/a:1"),
        (image_id, f"No such image: {image_id}"),
    ):
        with pytest.raises(NotFound, match=message):
            await removed(engine, text, force=True)
    await engine.settle()
    assert engine.files() == (set(), set())


async def test_removing_by_digest_and_by_force(engine):
    image_id = await engine.import_tar(small_tar(), repo="rec/a", tag="1")
    await tagged(engine, "rec/a:1", "rec/b", "1")
    digest = (await inspected(engine, image_id)).descriptor.digest
    assert await removed(engine, f"rec/b@{digest}") == [("untagged", "rec/b:1")]
    await tagged(engine, "rec/a:1", "rec/b", "1")
    assert await removed(engine, image_id[7:19], force=True) == [
        ("untagged", "rec/a:1"),
        ("untagged", "rec/b:1"),
        ("deleted", image_id),
    ]


async def test_a_tag_is_removed_with_the_digests_of_its_repository(engine):
    image_id = await engine.import_tar(small_tar(), repo="rec/a", tag="1")
    target = engine.images.context.catalog.names["docker.io/rec/a:1"].target
    await engine.images.context.catalog.add(
        Rows([NameRecord(f"docker.io/rec/{name}@{target}", target, 0) for name in "ab"])
    )
    # Another repository has a name: the image stays.
    assert await removed(engine, "rec/a:1") == [
        ("untagged", "rec/a:1"),
        ("untagged", f"rec/a@{target}"),
    ]
    await tagged(engine, image_id, "rec/b", "1")
    await tagged(engine, image_id, "rec/b", "2")
    assert await removed(engine, "rec/b:2") == [("untagged", "rec/b:2")]
    assert await removed(engine, "rec/b:1") == [
        ("untagged", "rec/b:1"),
        ("untagged", f"rec/b@{target}"),
        ("deleted", image_id),
    ]


@pytest.mark.parametrize(
    ("reference", "pruned"),
    [
        ("rec/a", ["rec/b:1", "rec/c:1"]),
        ("rec/c:1", ["rec/a:latest", "rec/b:1"]),
        ("rec/a@DIGEST", ["rec/a:latest", "rec/b:1"]),
        ("rec/b:1@DIGEST", ["rec/a:latest", "rec/c:1"]),
        ("IMAGE", ["rec/a:latest", "rec/b:1"]),
        ("other", ["rec/a:latest", "rec/b:1"]),
    ],
)
async def test_a_prune_removes_unused_names_of_an_image_in_use(engine, reference, pruned):
    image_id = await engine.import_tar(small_tar(), repo="rec/a", tag="latest")
    target = engine.images.context.catalog.names["docker.io/rec/a:latest"].target
    await tagged(engine, image_id, "rec/b", "1")
    await tagged(engine, image_id, "rec/c", "1")
    image = engine.images.resolve(image_id)
    engine.containers.use(image, reference.replace("DIGEST", target).replace("IMAGE", image_id))
    assert (await engine.images.prune(api.ImagePrune())).images_deleted is None
    everything = api.ImagePrune(filters=Filters({"dangling": ["false"]}))
    answer = await engine.images.prune(everything)
    assert [each.untagged for each in answer.images_deleted or ()] == pruned
    assert answer.space_reclaimed == 0
    assert (await engine.images.prune(everything)).images_deleted is None
    engine.containers.all.clear()
    assert (await engine.images.prune(everything)).images_deleted[-1].deleted == image_id


async def test_images_in_use_are_protected(engine):
    image_id = await engine.import_tar(small_tar(), repo="rec/a", tag="1")
    user = FakeContainer("c" * 64, image_id)
    engine.containers.all.append(user)
    short = image_id[7:19]
    by_name = (
        f"conflict: unable to delete rec/a:1 (must be forced) - container {'c' * 12} is using"
        f" its referenced image {short}"
    )
    stopped = (
        f"conflict: unable to delete {short} (must be forced) - image is being used by stopped"
        f" container {'c' * 12}"
    )
    running = (
        f"conflict: unable to delete {short} (cannot be forced) - image is being used by"
        f" running container {'c' * 12}"
    )
    for text, force, message in (("rec/a:1", False, by_name), (image_id, False, stopped)):
        with pytest.raises(Conflict) as caught:
            await removed(engine, text, force=force)
        assert caught.value.message == message
    user.running = True
    for text, force, message in (("rec/a:1", False, by_name), (image_id, True, running)):
        with pytest.raises(Conflict) as caught:
            await removed(engine, text, force=force)
        assert caught.value.message == message
    assert (await engine.images.prune(api.ImagePrune(filters=Filters({"dangling": ["0"]})))) == (
        api.ImagePruneResponse()
    )
    assert await removed(engine, "rec/a:1", force=True) == [("untagged", "rec/a:1")]
    assert engine.images.resolve(image_id).id == image_id


async def test_force_takes_the_last_name_of_an_image_in_use(engine):
    image_id = await engine.import_tar(small_tar(), repo="rec/a", tag="1")
    engine.containers.all.append(FakeContainer("c" * 64, image_id))
    assert await removed(engine, "rec/a:1", force=True) == [("untagged", "rec/a:1")]
    [line] = await listed(engine, filters={"dangling": ["true"]})
    assert line.id == image_id
    assert (await engine.images.prune(api.ImagePrune())).images_deleted is None
    engine.containers.all.clear()
    assert (await engine.images.prune(api.ImagePrune())).images_deleted
    await engine.settle()
    assert engine.files() == (set(), set())


async def test_a_stopped_container_keeps_the_layers_of_a_forced_removal(engine):
    image_id = await engine.import_tar(small_tar(), repo="rec/a", tag="1")
    user = FakeContainer("c" * 64, image_id)
    engine.containers.all.append(user)
    [layer] = engine.images.resolve(image_id).layers
    assert await removed(engine, image_id, force=True) == [
        ("untagged", "rec/a:1"),
        ("deleted", image_id),
    ]
    with pytest.raises(NotFound):
        engine.images.resolve(image_id)
    assert await listed(engine) == []
    restarted = await engine.restart()
    restarted.containers = engine.containers
    await restarted.images.collect()
    await restarted.settle()
    assert (layer / "file.txt").exists()
    image = restarted.images._catalog.images.get(image_id)
    assert image is not None
    assert image.layers == (layer,)
    engine.containers.all.clear()
    await restarted.images.release(image_id)
    await restarted.settle()
    assert restarted.files() == (set(), set())
    await restarted.close()


async def test_a_hidden_image_comes_back_when_it_is_loaded_again(engine):
    data = docker_archive(small_tar(), tags=["rec/a:1"])
    await engine.load_tar(data)
    image_id = engine.images.resolve("rec/a:1").id
    engine.containers.all.append(FakeContainer("c" * 64, image_id))
    await removed(engine, "rec/a:1", force=True)
    await engine.load_tar(data)
    assert engine.images.resolve("rec/a:1").id == image_id
    engine.containers.all.clear()
    await engine.images.release(image_id)
    assert engine.images.resolve("rec/a:1").id == image_id


async def test_a_held_image_stays_until_it_is_released(engine):
    await engine.import_tar(small_tar(), repo="rec/a")
    image = engine.images.resolve("rec/a")
    with engine.images.hold(image):
        await removed(engine, "rec/a")
        await engine.settle()
        assert (image.layers[0] / "file.txt").exists()
    await engine.settle()
    assert engine.files() == (set(), set())


async def test_prune(engine):
    for number, labels in enumerate((["LABEL p=1"], ["LABEL p=1"], [])):
        await engine.import_tar(
            small_tar(str(number)), repo="rec/p" if number else "", changes=labels
        )

    async def prune(**filters):
        return await engine.images.prune(api.ImagePrune(filters=Filters(filters)))

    assert await prune(label=["p=none"]) == api.ImagePruneResponse()
    answer = await prune(label=["p=1"])
    assert len(answer.images_deleted or []) == 2
    assert engine.events.seen[-1] == (
        "image",
        "prune",
        "",
        {"reclaimed": str(answer.space_reclaimed)},
    )
    assert await prune(dangling=["false"], until=["1h"]) == api.ImagePruneResponse()
    answer = await prune(dangling=["false"])
    assert (answer.images_deleted or [])[0].untagged == "rec/p:latest"
    await engine.settle()
    assert engine.files() == (set(), set())
    with pytest.raises(InvalidParameter):
        await prune(dangling=["maybe"])


# ---- crashes -----------------------------------------------------------------------


async def test_changes_and_their_events_are_one_transaction(engine):
    for statement in EVENTS:
        engine.db.read(lambda connection, sql=statement: connection.execute(sql))
    engine.events = EventJournal(engine.db)
    commits = Commits(engine.db)
    image_id = await engine.import_tar(small_tar(), repo="rec/a", tag="1")
    assert commits.together("insert image_names", "event image tag", "event image import")
    await tagged(engine, image_id, "rec/b", "1")
    assert commits.transactions[-1] == {"insert image_names", "event image tag"}
    await removed(engine, "rec/b:1")
    assert commits.transactions[-1] == {"delete image_names", "event image untag"}
    await removed(engine, "rec/a:1")
    assert commits.together("delete images", "event image untag", "event image delete")
    await engine.load_tar(docker_archive(small_tar(), tags=["rec/c:1"]))
    assert commits.together("insert image_names", "event image load")


async def test_a_restart_finds_everything_and_sweeps_the_rest(engine):
    await engine.load_tar(docker_archive(*three_layers(), tags=["rec/a:1"]))
    before = await listed(engine)
    (engine.paths.images / "blobs/sha256" / ("0" * 64)).write_text("left over")
    (engine.paths.images / "blobs/sha256/.unfinished").write_text("left over")
    (engine.paths.images / "layers" / ("0" * 64) / "diff").mkdir(parents=True)
    files = engine.files()
    engine = await engine.restart()
    await engine.settle()
    assert await listed(engine) == before
    assert len(engine.files()[0]) == len(files[0]) - 2
    assert len(engine.files()[1]) == 3
    await engine.close()


@pytest.mark.parametrize("missing", ["layers", "blobs/sha256"])
async def test_images_without_their_files_are_dropped(engine, missing):
    await engine.load_tar(docker_archive(*three_layers(), tags=["rec/a:1"]))
    await engine.import_tar(small_tar(), repo="rec/b")
    image = engine.images.resolve("rec/a:1")
    if missing == "layers":
        shutil.rmtree(image.layers[1].parent)
    else:
        (engine.paths.images / missing / image.id[7:]).unlink()
    engine = await engine.restart()
    assert [line.repo_tags for line in await listed(engine)] == [["rec/b:latest"]]
    await engine.settle()
    assert len(engine.files()[1]) == 1
    assert texts(await engine.load_tar(docker_archive(*three_layers(), tags=["rec/a:1"]))) == [
        "Loaded image: rec/a:1\n"
    ]
    await engine.close()
