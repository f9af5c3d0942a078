"""The work to examine an index is bounded, whatever documents name each other."""

import json
from typing import cast

import pytest
from tests.support.images import sha256

from palan.api.errors import InvalidParameter
from palan.engine.images import ingest
from palan.engine.images.archive_images import find_images
from palan.engine.images.catalog import Lease
from palan.engine.images.formats import OCI_INDEX, Descriptor, Index, Manifest, encode
from palan.engine.images.ingest import Documents, examine
from palan.engine.images.receive import Member, Members
from palan.store.content import Content


@pytest.fixture
def content(tmp_path):
    return Content(tmp_path / "blobs")


def put(content, document, media_type=""):
    data = encode(document)
    return Descriptor(media_type=media_type, digest=content.put(data), size=len(data))


def test_a_document_that_is_named_often_is_decoded_within_limits(content, monkeypatch):
    large = put(content, Index(media_type="x" * 10_000), OCI_INDEX)
    index = put(content, Index(manifests=[large] * 500), OCI_INDEX)
    monkeypatch.setattr(ingest, "_MAX_DOCUMENTS", 1_000_000)
    with pytest.raises(InvalidParameter, match="manifests and configurations exceed"):
        examine(content, index)


def test_the_limit_is_for_all_targets_of_an_archive(content):
    documents = Documents(content)
    index = put(content, Index(), OCI_INDEX)
    for _ in range(2):
        with pytest.raises(InvalidParameter, match="no image whose content is here"):
            examine(content, index, documents)
    assert documents.left == ingest._MAX_DOCUMENTS - 2 * index.size


def test_a_manifest_has_a_limited_number_of_parts(content):
    part = put(content, Index())
    manifest = put(content, Manifest(config=part, layers=[part] * 5001))
    with pytest.raises(InvalidParameter, match="has too many layers"):
        examine(content, manifest)


def test_images_of_an_archive_have_a_limited_number_of_layers(content, tmp_path):
    items = [{"Config": "manifest.json", "Layers": ["x"] * 600}]
    (tmp_path / "manifest.json").write_text(json.dumps(items))
    size = (tmp_path / "manifest.json").stat().st_size
    member = Member(tmp_path / "manifest.json", sha256(b""), size)
    with pytest.raises(InvalidParameter, match="has more than 498 layers"):
        find_images(content, Members({"manifest.json": member}, {}), cast(Lease, None))
