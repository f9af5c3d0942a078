"""The image that is loaded into every engine: Debian's static busybox, as an archive."""

import hashlib
import io
import json
import shutil
import subprocess
import tarfile


__all__ = ["architecture", "archive", "busybox_archive"]


def busybox_archive() -> bytes:
    """Return an archive of ``busybox:latest`` with one layer, as ``docker save`` writes it."""
    layer = _layer()
    diff_id = "sha256:" + hashlib.sha256(layer).hexdigest()
    config = json.dumps(
        {
            "architecture": architecture(),
            "os": "linux",
            "created": "2026-01-01T00:00:00Z",
            "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
            "history": [{"created": "2026-01-01T00:00:00Z", "created_by": "benchmarks"}],
        }
    ).encode()
    name = hashlib.sha256(config).hexdigest() + ".json"
    manifest = [{"Config": name, "RepoTags": ["busybox:latest"], "Layers": ["layer.tar"]}]
    return archive(
        {name: config, "layer.tar": layer, "manifest.json": json.dumps(manifest).encode()}
    )


def _layer() -> bytes:
    busybox = shutil.which("busybox")
    if busybox is None:
        raise SystemExit("busybox is not installed (Debian: busybox-static)")
    listing = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for directory in ("bin", "dev", "etc", "proc", "root", "sys", "tmp"):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        tar.add(busybox, "bin/busybox", filter=_owned_by_root)
        for applet in listing.stdout.split():
            if applet != "busybox":
                entry = tarfile.TarInfo(f"bin/{applet}")
                entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(entry)
        passwd = b"root:x:0:0:root:/root:/bin/sh\n"
        entry = tarfile.TarInfo("etc/passwd")
        entry.size = len(passwd)
        tar.addfile(entry, io.BytesIO(passwd))
    return buffer.getvalue()


def _owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry


def architecture() -> str:
    """Return this machine's architecture by Go's name."""
    machine = subprocess.run(["uname", "-m"], check=True, capture_output=True, text=True)
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine.stdout.strip(), "amd64")


def archive(files: dict[str, bytes]) -> bytes:
    """Return a tar archive of files, given by name."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()
