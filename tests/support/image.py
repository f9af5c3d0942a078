"""The test image, made on demand: Debian's static busybox and nothing else."""

import io
import shutil
import subprocess
import tarfile


def busybox_tar() -> bytes:
    """Return a root filesystem with busybox and a link for each of its applets, as tar."""
    path = shutil.which("busybox")
    assert path, "busybox-static is not installed"
    applets = subprocess.run([path, "--list"], check=True, capture_output=True, text=True).stdout
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("bin", "etc", "tmp", "root", "home", "var"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            tar.addfile(entry)
        tar.add(path, "bin/busybox")
        for applet in applets.split():
            if applet != "busybox":
                entry = tarfile.TarInfo(f"bin/{applet}")
                entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(entry)
        for name, text in (
            ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home:/bin/sh\n"),
            ("etc/group", "root:x:0:\napp:x:1000:\nextra:x:2000:app\n"),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()
