"""An image made of this machine's files, and a registry to pull it from for each engine."""

import contextlib
import gzip
import hashlib
import http.client
import json
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

from engines import PATH, Engine


__all__ = ["IMAGE", "RegistryHost"]

ADDRESS = "127.0.0.1:5055"  # in the engine's network namespace, where nothing else listens
IMAGE = f"{ADDRESS}/bench/debian:1"
FILES = 5000
SIZE = 150 << 20
SHARES = (0.6, 0.9, 1.0)  # the end of each layer, as a fraction of all files
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


class RegistryHost:
    """A directory with the image, served to one engine after the other."""

    def __init__(self, folder: Path) -> None:
        """Serve from a directory, which is empty at the beginning."""
        self._folder = folder
        self._filled = False

    @staticmethod
    def available() -> bool:
        """Return whether the program ``docker-registry`` is installed."""
        return shutil.which("docker-registry", path=PATH) is not None

    def fill(self) -> None:
        """Make the image and push it into the directory; only once."""
        if self._filled:
            return
        self._filled = True
        self._folder.mkdir()
        layers = _layers(self._folder)
        with self._serve(()) as connection:
            descriptors = []
            for file, _ in layers:
                digest = _upload(connection, file.read_bytes())
                size = file.stat().st_size
                descriptors.append({"mediaType": LAYER, "size": size, "digest": digest})
                file.unlink()
            config = json.dumps(
                {
                    "architecture": "amd64",
                    "os": "linux",
                    "config": {"Cmd": ["sh"]},
                    "rootfs": {"type": "layers", "diff_ids": [diff_id for _, diff_id in layers]},
                }
            ).encode()
            digest = _upload(connection, config)
            manifest = {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": {"mediaType": CONFIG, "size": len(config), "digest": digest},
                "layers": descriptors,
            }
            _request(connection, "PUT", "/v2/bench/debian/manifests/1",
                 json.dumps(manifest).encode(), MANIFEST)  # fmt: skip

    @contextlib.contextmanager
    def served_to(self, engine: Engine) -> Iterator[None]:
        """Serve the image in the network namespace of an engine."""
        self.fill()
        assert engine.process is not None
        namespace = ("nsenter", "--target", str(engine.process.pid), "--net", "--")
        with self._serve(namespace):
            yield

    @contextlib.contextmanager
    def _serve(self, namespace: tuple[str, ...]) -> Iterator[http.client.HTTPConnection]:
        file = self._folder / "config.yml"
        file.write_text(
            "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {self._folder}/data}}}}\n"
            f'http: {{addr: "{ADDRESS}"}}\n'
        )
        process = subprocess.Popen(
            [*namespace, "docker-registry", "serve", str(file)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={"PATH": PATH},
        )  # fmt: skip
        connection = http.client.HTTPConnection(ADDRESS, timeout=60)
        try:
            if namespace:
                time.sleep(1)  # it listens in another namespace, which this process cannot reach
            else:
                _wait_until_ready(connection)
            yield connection
        finally:
            connection.close()
            process.terminate()
            process.wait()


def _layers(folder: Path) -> list[tuple[Path, str]]:
    """Write the layers as compressed files; return these with the digests of their contents."""
    layers = []
    chosen = _choose_files()
    begin = 0
    for number, share in enumerate(SHARES):
        end = int(len(chosen) * share)
        file = folder / f"layer{number}"
        with tarfile.open(file, "w") as tar:
            for path in chosen[begin:end]:
                with contextlib.suppress(OSError):
                    tar.add(path, recursive=False)
        data = file.read_bytes()
        file.write_bytes(gzip.compress(data, 6))
        layers.append((file, "sha256:" + hashlib.sha256(data).hexdigest()))
        begin = end
    return layers


def _choose_files() -> list[Path]:
    """Choose files of this machine's /usr; every run chooses the same ones."""
    found = []
    for place, _, names in os.walk("/usr"):
        for name in names:
            path = Path(place, name)
            if path.is_file() and not path.is_symlink():
                found.append(path)
    found.sort(key=lambda path: hashlib.sha256(str(path).encode()).digest())
    chosen = []
    size = 0
    for path in found:
        length = path.stat().st_size
        if size + length <= SIZE:
            chosen.append(path)
            size += length
        if len(chosen) == FILES:
            break
    return sorted(chosen)


def _request(
    connection: http.client.HTTPConnection, method: str, target: str, body: bytes, kind: str
) -> str:
    headers = {"Content-Type": kind, "Content-Length": str(len(body))}
    connection.request(method, target, body=body, headers=headers)
    answer = connection.getresponse()
    answer.read()
    if answer.status >= 300:
        raise RuntimeError(f"the registry answers {answer.status} to {method} {target}")
    return answer.headers.get("Location", "")


def _upload(connection: http.client.HTTPConnection, data: bytes) -> str:
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    location = _request(connection, "POST", "/v2/bench/debian/blobs/uploads/", b"", "text/plain")
    target = location.partition(ADDRESS)[2] or location
    _request(connection, "PUT", f"{target}&digest={digest}", data, "application/octet-stream")
    return digest


def _wait_until_ready(connection: http.client.HTTPConnection) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            _request(connection, "GET", "/v2/", b"", "text/plain")
        except OSError:
            connection.close()
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("docker-registry does not answer")
