"""Measurements of images: pull, load, save, export, commit and build."""

import functools
import hashlib
import io
import json
import os
import random
import tarfile
import time
from collections.abc import Callable

from client import Client
from image import architecture, archive
from registry import IMAGE, RegistryHost
from subject import Measurement, Sample, Subject


__all__ = ["IMAGES"]

NAME = "bench/files:latest"
FILES = 5000
MIB = 1 << 20
STEPS = 10


@functools.cache
def _archive() -> bytes:
    """Return an image of 150 MiB with 5,000 files, half of them text and half random bytes."""
    make = random.Random(1)
    text = b" ".join(make.choice((b"image", b"layer", b"blob", b"chain")) for _ in range(MIB // 5))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for number in range(FILES):
            if number % 20 == 0:
                directory = tarfile.TarInfo(f"files/{number // 20}")
                directory.type, directory.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(directory)
            size = int(make.expovariate(1 / 30_000)) + 1
            begin = make.randrange(len(text))
            data = (
                make.randbytes(size) if number % 2 else (text[begin:] * (size // 1000 + 2))[:size]
            )
            entry = tarfile.TarInfo(f"files/{number // 20}/{number}")
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    layer = buffer.getvalue()
    config = json.dumps(
        {
            "architecture": architecture(),
            "os": "linux",
            "config": {"Cmd": ["none"]},
            "rootfs": {
                "type": "layers",
                "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()],
            },
        }
    ).encode()
    name = hashlib.sha256(config).hexdigest() + ".json"
    manifest = [{"Config": name, "RepoTags": [NAME], "Layers": ["layer.tar"]}]
    return archive(
        {name: config, "layer.tar": layer, "manifest.json": json.dumps(manifest).encode()}
    )


def _milliseconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return (time.perf_counter() - began) * 1000


def _settle() -> None:
    """Wait for deletions that engines do in the background, and for pending writes to disk."""
    time.sleep(2)
    os.sync()


def _delete(client: Client, name: str) -> None:
    client.call("DELETE", f"/images/{name}?force=1", accept=range(200, 500))


def load_and_save(subject: Subject) -> Sample:
    client = subject.client

    def load() -> None:
        client.call("POST", "/images/load?quiet=1", _archive(), content_type="application/x-tar")

    _delete(client, NAME)
    _settle()
    loading = _milliseconds(load)
    saved: list[int] = []
    saving = _milliseconds(lambda: saved.append(len(client.call("GET", f"/images/{NAME}/get"))))
    container = client.create("none", image=NAME, network="none")
    exporting = _milliseconds(lambda: client.call("GET", f"/containers/{container}/export"))
    client.remove(container)
    _delete(client, NAME)
    if saved[0] < 100 * MIB:
        raise AssertionError(f"only {saved[0]} bytes were saved")
    return {"image.load": loading, "image.save": saving, "image.export": exporting}


def _commit(client: Client, script: str) -> tuple[float, float]:
    container = client.create("sh", "-c", script, network="none")
    client.start(container)
    client.wait(container)
    _settle()
    changes = _milliseconds(lambda: client.call("GET", f"/containers/{container}/changes"))
    figure = _milliseconds(
        lambda: client.call("POST", f"/commit?container={container}&repo=bench/made&tag=latest")
    )
    client.remove(container)
    _delete(client, "bench/made:latest")
    return figure, changes


def commit_large(subject: Subject) -> Sample:
    figure, _ = _commit(subject.client, "dd if=/dev/urandom of=/large bs=1M count=100")
    return {"image.commit_100m": figure}


def commit_many(subject: Subject) -> Sample:
    script = (
        "for d in $(seq 50); do mkdir /d$d; for f in $(seq 100); do echo $f >/d$d/$f; done; done"
    )
    figure, changes = _commit(subject.client, script)
    return {"image.commit_5000": figure, "image.changes": changes}


def commit_chain(subject: Subject) -> Sample:
    client = subject.client
    made: list[str] = []

    def chain() -> None:
        image = "busybox:latest"
        for step in range(STEPS):
            command = ("sh", "-c", f"echo {step} >/step{step}")
            container = client.create(*command, image=image, network="none")
            client.start(container)
            client.wait(container)
            image = client.json("POST", f"/commit?container={container}")["Id"]
            client.call("DELETE", f"/containers/{container}")
            made.append(image)

    figure = _milliseconds(chain)
    for image in reversed(made):
        _delete(client, image)
    return {"image.commit_chain": figure}


def build(subject: Subject) -> Sample:
    client = subject.client
    lines = ["FROM busybox:latest"]
    for step in range(STEPS // 2):
        lines += [f"RUN echo {step} >/step{step}", f"COPY file /copied{step}"]
    context = archive({"Dockerfile": "\n".join(lines).encode(), "file": b"x" * 1000})
    target = "/build?t=bench/built:latest&nocache=1&version=1"
    figure = _milliseconds(
        lambda: client.call("POST", target, context, content_type="application/x-tar")
    )
    client.call("GET", "/images/bench/built:latest/json")
    _delete(client, "bench/built:latest")
    return {"image.build": figure}


def pull(subject: Subject) -> Sample:
    if not RegistryHost.available():
        return {}
    repository, _, tag = IMAGE.rpartition(":")
    target = f"/images/create?fromImage={repository}&tag={tag}"
    if subject.engine.name == "podman":
        target += "&tlsVerify=false"
    _settle()
    with subject.registry.served_to(subject.engine):
        began = time.perf_counter()
        subject.client.call("POST", target)
        figure = (time.perf_counter() - began) * 1000
        subject.client.call("GET", f"/images/{IMAGE}/json")
        subject.client.call("DELETE", f"/images/{IMAGE}?force=1")
    return {"image.pull": figure}


IMAGES = (
    Measurement(("image.pull",), pull, 5, needs_containers=False),
    Measurement(
        ("image.load", "image.save", "image.export"), load_and_save, 3, needs_containers=False
    ),
    Measurement(("image.commit_100m",), commit_large, 3, needs_containers=False),
    Measurement(("image.commit_5000", "image.changes"), commit_many, 3, needs_containers=False),
    Measurement(("image.commit_chain",), commit_chain, 3, needs_containers=False),
    Measurement(("image.build",), build, 3, needs_containers=False),
)
