"""Measurements of copying files in and out of containers: many small ones, and a large one."""

import io
import os
import tarfile
import time
from collections.abc import Callable
from functools import cache

from subject import Measurement, Sample, Subject


__all__ = ["COPIES"]

MIB = 1 << 20
LARGE_MIB = 128
SMALL_FILES = 5000


def _milliseconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return (time.perf_counter() - began) * 1000


def archives(subject: Subject) -> Sample:
    """Copy many small files, and one large one, in and out of a running container."""
    client, container = subject.client, subject.running
    figures = {}
    for row, archive, least in (
        ("many", _many_files(), SMALL_FILES * 1024),
        ("large", _large_file(), LARGE_MIB * MIB),
    ):
        target = f"/containers/{container}/archive?path="
        put = _milliseconds(
            lambda target=target, archive=archive: client.call(
                "PUT", f"{target}/tmp", archive, content_type="application/x-tar"
            )
        )
        sizes: list[int] = []
        got = _milliseconds(
            lambda target=target, row=row, sizes=sizes: sizes.append(
                len(client.call("GET", f"{target}/tmp/{row}"))
            )
        )
        if sizes[0] < least:
            raise AssertionError(f"only {sizes[0]} bytes came back")
        figures |= {f"cp.{row}_in": put, f"cp.{row}_out": got}
    made = client.json(
        "POST",
        f"/containers/{container}/exec",
        {"Cmd": ["rm", "-rf", "/tmp/many", "/tmp/large"], "AttachStdout": True},
    )
    client.call("POST", f"/exec/{made['Id']}/start", {"Detach": False})
    return figures


@cache
def _many_files() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for number in range(SMALL_FILES):
            entry = tarfile.TarInfo(f"many/d{number % 50}/f{number}")
            entry.size = 1024
            tar.addfile(entry, io.BytesIO(bytes(1024)))
    return buffer.getvalue()


@cache
def _large_file() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo("large")
        entry.size = LARGE_MIB * MIB
        tar.addfile(entry, io.BytesIO(os.urandom(MIB) * LARGE_MIB))
    return buffer.getvalue()


def copy_one(subject: Subject) -> Sample:
    """Copy one small file out of a stopped container with the docker command."""
    command = ("cp", f"{subject.idle}:/bin/busybox", "-")
    return {"cp.one": _milliseconds(lambda: subject.docker(*command))}


COPIES = (
    Measurement(("cp.many_in", "cp.many_out", "cp.large_in", "cp.large_out"), archives, 5),
    Measurement(("cp.one",), copy_one, 7),
)
