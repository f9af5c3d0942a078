"""A registry in memory, to which tests add faults."""

import hashlib
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.support.images import sha256
from tests.support.registry import Handler, Server


OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"

Fault = Callable[[Handler, "FakeRegistry"], bool]
"""A fault: answers a request in its own way and returns true, or returns false."""

_PATH = re.compile(r"/v2/(?P<name>.+)/(?P<kind>manifests|blobs|tags)/(?P<what>[^/?]+)(\?.*)?$")


@dataclass
class FakeRegistry:
    """A registry's content, and its faults.  Pass it as the ``answer`` of ``serve``."""

    address: str = ""
    """The address where it is served, if the test sets it."""

    server: Server | None = None
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)
    """Media type and document by repository and tag or digest."""

    faults: list[Fault] = field(default_factory=list)
    ranges: bool = True
    uploads: list[bytes] = field(default_factory=list)
    mountable: set[str] = field(default_factory=set)
    """Repositories whose blobs may be mounted into others."""

    seen: Counter[str] = field(default_factory=Counter)
    """The number of requests by method and path, such as ``GET blobs/sha256:...``."""

    offsets: dict[str, list[int]] = field(default_factory=dict)
    """The offsets from which blobs were requested."""

    lying: dict[str, str] = field(default_factory=dict)
    """The wrong digests that are sent for manifests."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    busy: int = 0
    busiest: int = 0
    """The largest number of blobs that were sent concurrently."""

    # ---- content ---------------------------------------------------------------------

    def blob(self, data: bytes) -> str:
        digest = sha256(data)
        self.blobs[digest] = data
        return digest

    def manifest(self, name: str, tag: str, kind: str, document: dict[str, Any]) -> str:
        data = json.dumps(document).encode()
        digest = sha256(data)
        for reference in (tag, digest):
            if reference:
                self.manifests[name, reference] = (kind, data)
        return digest

    def image(
        self,
        name: str,
        tag: str,
        *layers: bytes,
        diffs: Iterable[bytes] | None = None,
        kind: str = OCI_MANIFEST,
        platform: tuple[str, str] = ("linux", "amd64"),
        layer_type: str = "",
        config: dict[str, Any] | None = None,
        **manifest: Any,
    ) -> dict[str, Any]:
        """Add an image with compressed layers; ``diffs`` are the uncompressed ones.

        Returns:
            The descriptor of the image.
        """
        docker = kind == DOCKER_MANIFEST
        spec = json.dumps(
            {
                "os": platform[0],
                "architecture": platform[1],
                "created": "2024-01-02T03:04:05Z",
                "config": {"Cmd": ["sh"], **(config or {})},
                "rootfs": {"type": "layers", "diff_ids": [*map(sha256, diffs or layers)]},
            }
        ).encode()
        layer_type = layer_type or (DOCKER_LAYER if docker else OCI_LAYER)
        document = {
            "schemaVersion": 2,
            "mediaType": kind,
            "config": {
                "mediaType": DOCKER_CONFIG if docker else OCI_CONFIG,
                "digest": self.blob(spec),
                "size": len(spec),
            },
            "layers": [
                {"mediaType": layer_type, "digest": self.blob(layer), "size": len(layer)}
                for layer in layers
            ],
            **manifest,
        }
        digest = self.manifest(name, tag, kind, document)
        size = len(self.manifests[name, digest][1])
        return {"mediaType": kind, "digest": digest, "size": size}

    def index(self, name: str, tag: str, *manifests: dict[str, Any], kind: str = OCI_INDEX) -> str:
        document = {"schemaVersion": 2, "mediaType": kind, "manifests": list(manifests)}
        return self.manifest(name, tag, kind, document)

    # ---- uploads ---------------------------------------------------------------------

    def _upload(self, request: Handler) -> bool:
        """Receive a blob: whole, in chunks, or mounted from another repository."""
        url = urlsplit(request.path)
        query = dict(parse_qsl(url.query))
        match = re.fullmatch(r"/v2/(.+)/blobs/uploads/([0-9]*)", url.path)
        put = re.fullmatch(r"/v2/(.+)/manifests/([^/]+)", url.path)
        if put and request.command == "PUT":
            kind = request.headers["Content-Type"]
            for reference in (put[2], sha256(request.data)):
                self.manifests[put[1], reference] = (kind, request.data)
            request.reply(201)
            return True
        if match is None:
            return False
        with self.lock:
            self.seen[f"{request.command} upload"] += 1
        if request.command == "POST":
            if query.get("mount") in self.blobs and query["from"] in self.mountable:
                request.reply(201)
                return True
            self.uploads.append(b"")
            place = str(len(self.uploads) - 1)
            request.reply(202, Location=f"{url.path}{place}?state=0")
            return True
        number = int(match[2])
        if number >= len(self.uploads) or request.command == "DELETE":
            request.reply(404)
        elif request.command == "GET":
            have = len(self.uploads[number])
            request.reply(204, Range=f"0-{max(have - 1, 0)}", Location=f"{url.path}?state={have}")
        else:
            self.uploads[number] += request.data
            have = len(self.uploads[number])
            if request.command == "PATCH":
                request.reply(202, Location=f"{url.path}?state={have}")
            elif sha256(self.uploads[number]) != query["digest"]:
                request.json(400, '{"errors": [{"code": "DIGEST_INVALID", "message": "no"}]}')
            else:
                self.blob(self.uploads[number])
                request.reply(201)
        return True

    # ---- answers ---------------------------------------------------------------------

    def __call__(self, request: Handler) -> None:
        for fault in list(self.faults):
            if fault(request, self):
                return
        if self._upload(request):
            return
        match = _PATH.match(request.path)
        if request.path == "/v2/":
            request.json(200, "{}")
        elif match is None:
            request.json(404, '{"errors": [{"code": "UNSUPPORTED", "message": "no such path"}]}')
        elif match["kind"] == "tags":
            tags = sorted({tag for name, tag in self.manifests if name == match["name"]})
            names = [tag for tag in tags if ":" not in tag]
            request.json(200, json.dumps({"name": match["name"], "tags": names}))
        else:
            with self.lock:
                self.seen[f"{request.command} {match['kind']}/{match['what']}"] += 1
            if match["kind"] == "manifests":
                self._manifest(request, match["name"], match["what"])
            else:
                self.send_blob(request, match["what"])

    def _manifest(self, request: Handler, name: str, reference: str) -> None:
        found = self.manifests.get((name, reference))
        if found is None:
            request.json(404, '{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "unknown"}]}')
            return
        kind, data = found
        request.send_response(200)
        request.send_header("Content-Type", kind)
        digest = sha256(data)
        request.send_header("Docker-Content-Digest", self.lying.get(digest, digest))
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(data)

    def send_blob(
        self,
        request: Handler,
        digest: str,
        *,
        cut: int | None = None,
        pause: float = 0,
        piece: int = 64 * 1024,
    ) -> None:
        """Send a blob; only ``cut`` bytes of it, or with pauses, if these are given."""
        data = self.blobs.get(digest)
        if data is None:
            request.json(404, '{"errors": [{"code": "BLOB_UNKNOWN", "message": "unknown"}]}')
            return
        if request.command == "HEAD":
            request.send_response(200)
            request.send_header("Content-Length", str(len(data)))
            request.end_headers()
            return
        asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        start = int(asked[1]) if asked and self.ranges else 0
        with self.lock:
            self.offsets.setdefault(digest, []).append(start)
            self.busy += 1
            self.busiest = max(self.busiest, self.busy)
        try:
            request.send_response(206 if start else 200)
            if start:
                whole = len(data)
                request.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
            request.send_header("Content-Length", str(len(data) - start))
            request.end_headers()
            rest = data[start:] if cut is None else data[start : start + cut]
            for place in range(0, len(rest), piece):
                request.wfile.write(rest[place : place + piece])
                time.sleep(pause)
            if cut is not None:
                request.close_connection = True
        finally:
            with self.lock:
                self.busy -= 1


def cutting(digest: str, *cuts: int | None) -> Fault:
    """Cut a blob off after as many bytes as each of ``cuts`` says, in turn; None sends it whole."""
    left = list(cuts)

    def fault(request: Handler, registry: FakeRegistry) -> bool:
        if not left or not request.path.endswith(f"/blobs/{digest}"):
            return False
        registry.send_blob(request, digest, cut=left.pop(0))
        return True

    return fault


def slow(pause: float, piece: int = 64 * 1024) -> Fault:
    """Send all blobs slowly."""

    def fault(request: Handler, registry: FakeRegistry) -> bool:
        if request.command != "GET" or "/blobs/" not in request.path:
            return False
        registry.send_blob(request, request.path.rpartition("/")[2], pause=pause, piece=piece)
        return True

    return fault


def failing(path: str, status: int, times: int, **headers: str) -> Fault:
    """Answer requests whose path contains ``path`` with a status, ``times`` times."""
    left = [times]

    def fault(request: Handler, _registry: FakeRegistry) -> bool:
        if left[0] <= 0 or path not in request.path:
            return False
        left[0] -= 1
        request.reply(status, "", **headers)
        return True

    return fault


def noise(size: int, seed: int = 0) -> bytes:
    """Return bytes that do not compress, the same for the same seed."""
    block = hashlib.sha256(str(seed).encode()).digest()
    pieces = []
    for _ in range(size // 32 + 1):
        block = hashlib.sha256(block).digest()
        pieces.append(block)
    return b"".join(pieces)[:size]
