"""Images for several platforms: choosing one, and keeping all of them."""

import io
import tarfile

import pytest
from tests.support.images import (
    FakeContainer,
    ImagesEngine,
    inspected,
    listed,
    read_json,
    removed,
    saved,
    texts,
)
from tests.support.oci_layout import Layout

from palan.api import Filters
from palan.api import images as api
from palan.api.errors import Conflict, InvalidParameter, NotFound
from palan.api.images import OCIPlatform
from palan.engine.images import catalog
from palan.engine.images.platform import Platform


pytestmark = pytest.mark.root

NAME = "docker.io/rec/multi:1"
ARM = '{"os":"linux","architecture":"arm64"}'
AMD = '{"os":"linux","architecture":"amd64"}'
S390X = '{"os":"linux","architecture":"s390x"}'


@pytest.fixture
async def engine(tmp_path, monkeypatch):
    monkeypatch.setattr(catalog, "host_platform", lambda: Platform("linux", "amd64", "v3"))
    engine = ImagesEngine(tmp_path)
    yield engine
    await engine.close()


@pytest.mark.parametrize(
    ("there", "meant"),
    [
        (["arm64", "amd64", "386"], "amd64"),
        (["arm64", "386"], "386"),
        (["amd64", "amd64/v2", "amd64/v4"], "amd64/v2"),
        (["amd64/v2", "amd64/v3"], "amd64/v3"),
        (["arm64", "s390x"], "arm64"),  # one that this machine can't run, if there is no other
    ],
)
async def test_the_image_that_a_name_means(engine, there, meant):
    layout = Layout()
    layout.name(layout.index(*map(layout.image, there)), NAME)
    assert texts(await engine.load_tar(layout.archive())) == ["Loaded image: rec/multi:1\n"]
    answer = await inspected(engine, "rec/multi:1")
    variant = answer.variant if isinstance(answer.variant, str) else ""
    assert "/".join(filter(None, (answer.architecture, variant))) == meant


async def test_a_platform_that_is_asked_for_is_taken_by_the_word(engine):
    layout = Layout()
    layout.name(layout.index(layout.image("386"), layout.image("arm64")), NAME)
    await engine.load_tar(layout.archive())
    assert (await inspected(engine, "rec/multi:1")).architecture == "386"
    with pytest.raises(NotFound, match=r"specified platform \(linux/amd64\)"):
        await inspected(engine, "rec/multi:1", platform=AMD)
    with pytest.raises(NotFound, match="no suitable export target found"):
        await saved(engine, "rec/multi:1", platform=[AMD])


async def test_the_index_knows_the_platform_better_than_the_configuration(engine):
    layout = Layout()
    v6 = layout.image("arm/v6", configured="arm")
    layout.name(layout.index(layout.image("amd64"), v6), NAME)
    await engine.load_tar(layout.archive())
    asked = '{"os":"linux","architecture":"arm","variant":"v%d"}'
    assert (await inspected(engine, "rec/multi:1", platform=asked % 6)).architecture == "arm"
    with pytest.raises(NotFound):
        await inspected(engine, "rec/multi:1", platform=asked % 7)
    [line] = await listed(engine, manifests=True)
    assert [m.image_data.platform.variant for m in line.manifests if m.image_data][1] == "v6"


def nested():
    """An index whose first entry is an index."""
    layout = Layout()
    inner = layout.index(layout.image("amd64"))
    return layout.name(layout.index(inner, layout.image("arm64")), NAME), inner


async def test_an_index_within_an_index_is_kept_and_looked_into(engine):
    layout, inner = nested()
    await engine.load_tar(layout.archive())
    assert (await inspected(engine, "rec/multi:1")).architecture == "amd64"
    assert (await inspected(engine, "rec/multi:1", platform=ARM)).architecture == "arm64"
    engine = await engine.restart()
    [line] = await listed(engine, manifests=True)
    assert [m.image_data.platform.architecture for m in line.manifests] == ["amd64", "arm64"]
    assert all(m.available for m in line.manifests)
    data = await saved(engine, "rec/multi:1")
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        names = set(archive.getnames())
    assert {f"blobs/sha256/{digest[7:]}" for digest in layout.blobs} <= names
    assert await removed(engine, "rec/multi:1")
    await engine.settle()
    assert engine.files() == (set(), set())
    await engine.load_tar(data)
    [again] = await listed(engine, manifests=True)
    assert again.descriptor.digest == line.descriptor.digest
    assert (again.id, again.manifests) == (line.id, line.manifests)
    await engine.load_tar(layout.archive(without=(inner["digest"],)))
    [again] = await listed(engine, manifests=True)
    assert len(again.manifests) == 2  # the known parts of an index are kept
    await engine.close()


async def test_a_platform_of_a_name_has_that_name(engine):
    layout = Layout()
    arm = layout.image("arm64")
    layout.name(layout.index(layout.image("amd64"), arm), NAME)
    await engine.load_tar(layout.archive())
    answer = await inspected(engine, "rec/multi:1", platform=ARM)
    assert answer.repo_tags == ["rec/multi:1"]
    assert answer.descriptor.digest == arm["digest"]
    assert answer.descriptor.platform.architecture == "arm64"
    request = api.ImageHistory(name="rec/multi:1", platform=ARM)
    assert (await engine.images.history(request))[0].tags == ["rec/multi:1"]


async def test_manifests_are_listed_in_the_order_of_the_index(engine):
    layout = Layout()
    image = layout.image("amd64")
    about = layout.attestation(image, sbom="https://spdx.dev/Document")
    layout.name(layout.index(image, about), NAME)
    await engine.load_tar(layout.archive())
    [line] = await listed(engine, manifests=True)
    told, said = (manifest.descriptor for manifest in line.manifests)
    assert told.platform.architecture == "amd64"
    assert said.platform.architecture == "unknown"
    assert said.annotations == about["annotations"]
    # The message for an image without an index names no platform.
    layout = Layout()
    await engine.load_tar(layout.name(layout.image("s390x"), "docker.io/rec/one:1").archive())
    [manifest] = (await inspected(engine, "rec/one:1", manifests=True)).manifests
    assert not isinstance(manifest.descriptor.platform, OCIPlatform)


@pytest.mark.parametrize(
    ("platforms", "has"),
    [
        ([], {"amd64", "arm64", "about amd64"}),
        ([ARM], {"arm64"}),
        ([AMD, S390X], {"amd64", "about amd64"}),
        ([AMD, ARM], {"amd64", "arm64", "about amd64"}),
    ],
)
async def test_a_save_for_some_platforms(engine, platforms, has):
    layout = Layout()
    amd, arm = layout.image("amd64"), layout.image("arm64")
    about = layout.attestation(amd, sbom="https://spdx.dev/Document")
    index = layout.index(arm, amd, about)
    await engine.load_tar(layout.name(index, NAME).archive())
    data = await saved(engine, "rec/multi:1", platform=platforms)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        blobs = set(archive.getnames())
        [top] = read_json(archive, "index.json")["manifests"]
        [old] = read_json(archive, "manifest.json")
        architecture = read_json(archive, old["Config"])["architecture"]
    named = {"amd64": amd, "arm64": arm, "about amd64": about}
    assert {
        name for name, each in named.items() if f"blobs/sha256/{each['digest'][7:]}" in blobs
    } == has
    assert top["digest"] == (index if len(platforms) != 1 else arm)["digest"]
    # A loader that knows no indexes, such as an old dockerd, gets the chosen image.
    assert architecture == ("amd64" if "amd64" in has else "arm64")
    assert old["RepoTags"] == ["rec/multi:1"]


async def test_platforms_of_a_load_of_which_one_is_there(engine):
    layout = Layout()
    layout.name(layout.index(layout.image("amd64"), layout.image("arm64")), NAME)
    loaded = await engine.load_tar(layout.archive(), platform=[S390X, ARM])
    assert texts(loaded) == ["Loaded image: rec/multi:1\n"]
    [line] = await listed(engine, manifests=True)
    assert [m.available for m in line.manifests] == [False, True]
    [failed] = await engine.load_tar(layout.archive(), platform=[S390X])
    assert failed.error == (
        "image rec/multi:1 was loaded, but doesn't provide the requested platform ([linux/s390x])"
    )


async def test_manifests_without_an_image_stay_in_the_archive(engine):
    layout = Layout()
    image = layout.image("amd64")
    about = layout.attestation(image, sbom="https://spdx.dev/Document")
    # As dockerd saves an image for one platform: with its attestation beside it.
    layout.name(image, NAME).name({**about, "annotations": {}}, "")
    assert texts(await engine.load_tar(layout.archive())) == ["Loaded image: rec/multi:1\n"]
    [alone] = await engine.load_tar(Layout().archive())
    assert alone.error == "the archive has no images"
    other = Layout()
    other.name(other.attestation(image, sbom="x"), "docker.io/rec/about:1")
    [alone] = await engine.load_tar(other.archive())
    assert "has no image whose content is here" in alone.error
    assert len(await listed(engine)) == 1


async def test_indexes_are_looked_into_so_deep_and_no_deeper(engine):
    layout = Layout()
    descriptor = layout.image("amd64")
    for _ in range(12):
        descriptor = layout.index(descriptor)
    [message] = await engine.load_tar(layout.name(descriptor, NAME).archive())
    assert "too many manifests" in message.error
    await engine.settle()
    assert engine.files() == (set(), set())


async def test_a_container_of_another_platform_uses_the_image(engine):
    layout = Layout()
    layout.name(layout.index(layout.image("amd64"), layout.image("arm64")), NAME)
    await engine.load_tar(layout.archive())
    other = (await inspected(engine, "rec/multi:1", platform=ARM)).id
    engine.containers.all.append(FakeContainer("c" * 64, other))
    [line] = await listed(engine)
    assert line.containers == 1
    with pytest.raises(Conflict, match=r"must be forced\) - container cccccccccccc is using"):
        await removed(engine, "rec/multi:1")
    with pytest.raises(Conflict, match="image is being used by stopped container cccccccccccc"):
        await removed(engine, line.id)
    prune = api.ImagePrune(filters=Filters({"dangling": ["false"]}))
    assert (await engine.images.prune(prune)).images_deleted is None
    # The image for this machine alone is not used.
    assert await removed(engine, "rec/multi:1", platforms=[AMD], force=True)
    engine.containers.all.clear()
    assert await removed(engine, "rec/multi:1")
    await engine.settle()
    assert engine.files() == (set(), set())


async def test_one_image_in_two_forms_keeps_only_what_has_a_name(engine):
    first, second = Layout(), Layout()
    first.name(first.image("amd64"), "docker.io/rec/plain:1")
    second.name(second.index(second.image("amd64"), second.image("arm64")), NAME)
    for layout in (first, second):
        await engine.load_tar(layout.archive())
    assert len(await listed(engine)) == 1
    assert await removed(engine, "rec/multi:1") == [("untagged", "rec/multi:1")]
    await engine.settle()
    blobs, _ = engine.files()
    assert blobs == {digest[7:] for digest in first.blobs}
    assert (await removed(engine, "rec/plain:1"))[-1][0] == "deleted"
    await engine.settle()
    assert engine.files() == (set(), set())


async def test_removing_the_images_for_all_platforms_needs_force(engine):
    layout, _ = nested()
    await engine.load_tar(layout.archive())
    with pytest.raises(InvalidParameter, match="Content will be removed"):
        await removed(engine, "rec/multi:1", platforms=[AMD, ARM])
    await removed(engine, "rec/multi:1", platforms=[AMD, ARM], force=True)
    await engine.settle()
    assert engine.files() == (set(), set())
