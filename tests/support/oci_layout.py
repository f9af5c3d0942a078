"""OCI image layouts, built piece by piece: images, attestations, and indexes of them."""

import gzip
import json
from typing import Any

from tests.support.images import oci_archive, sha256, small_tar

from palan.engine.images.formats import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST


__all__ = ["Layout"]

NAME = "io.containerd.image.name"


class Layout:
    """An image layout: blobs, and the index that lists them.

    Attributes:
        blobs: all content, by digest.
    """

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self._top: list[dict[str, Any]] = []

    def blob(self, data: bytes, media_type: str, **more: Any) -> dict[str, Any]:
        """Add content, and return its descriptor."""
        self.blobs[sha256(data)] = data
        return {"mediaType": media_type, "digest": sha256(data), "size": len(data), **more}

    def _document(self, document: dict[str, Any], media_type: str, **more: Any) -> dict[str, Any]:
        data = json.dumps({"schemaVersion": 2, "mediaType": media_type, **document}).encode()
        return self.blob(data, media_type, **more)

    def image(
        self, platform: str, *, configured: str = "", config: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Add an image with one small layer, and return the descriptor of its manifest.

        Args:
            platform: ``architecture[/variant]`` for the index.
            configured: the platform for the image's configuration, if it differs.
            config: the configuration that containers inherit.
        """
        layer = small_tar(platform)
        spec = {
            **_platform(configured or platform),
            "config": config or {},
            "rootfs": {"type": "layers", "diff_ids": [sha256(layer)]},
        }
        manifest = {
            "config": self.blob(json.dumps(spec).encode(), OCI_CONFIG),
            "layers": [self.blob(gzip.compress(layer, mtime=0), f"{OCI_LAYER}+gzip")],
        }
        return self._document(manifest, OCI_MANIFEST, platform=_platform(platform))

    def attestation(self, subject: dict[str, Any], **predicates: str) -> dict[str, Any]:
        """Add an attestation manifest, as BuildKit does, and return its descriptor.

        Args:
            subject: the descriptor of the image's manifest.
            predicates: the types of predicates; the names of the arguments do not matter.
        """
        layers = []
        for kind in predicates.values():
            statement = {"_type": "https://in-toto.io/Statement/v0.1", "predicateType": kind}
            data = json.dumps(statement).encode()
            said = {"in-toto.io/predicate-type": kind}
            layers.append(self.blob(data, "application/vnd.in-toto+json", annotations=said))
        about = {
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": subject["digest"],
        }
        return self._document(
            {"config": self.blob(b"{}", OCI_CONFIG), "layers": layers},
            OCI_MANIFEST,
            platform={"os": "unknown", "architecture": "unknown"},
            annotations=about,
        )

    def index(self, *manifests: dict[str, Any]) -> dict[str, Any]:
        """Add an index, and return its descriptor."""
        return self._document({"manifests": list(manifests)}, OCI_INDEX)

    def name(self, descriptor: dict[str, Any], name: str) -> "Layout":
        """Give a manifest or an index a name, such as ``docker.io/rec/a:1``."""
        self._top.append({**descriptor, "annotations": {NAME: name}})
        return self

    def archive(self, *, without: tuple[str, ...] = ()) -> bytes:
        """Return the layout as an archive.

        Args:
            without: digests of blobs to leave out.
        """
        kept = [data for digest, data in self.blobs.items() if digest not in without]
        return oci_archive(kept, self._top)


def _platform(text: str) -> dict[str, str]:
    architecture, _, variant = text.partition("/")
    return {"os": "linux", "architecture": architecture} | ({"variant": variant} if variant else {})
