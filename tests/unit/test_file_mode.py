import stat

import pytest

from palan.engine.containers.filemode import go_file_mode


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        # Values from dockerd's X-Docker-Container-Path-Stat.
        (stat.S_IFDIR | 0o755, 2147484141),
        (stat.S_IFREG | 0o600, 384),
        (stat.S_IFLNK | 0o777, 134218239),
        (stat.S_IFCHR | 0o666, (1 << 26) | (1 << 21) | 0o666),
        (stat.S_IFBLK | 0o660, (1 << 26) | 0o660),
        (stat.S_IFIFO, 1 << 25),
        (stat.S_IFSOCK, 1 << 24),
        (stat.S_IFREG | 0o4755, (1 << 23) | 0o755),
        (stat.S_IFREG | 0o2755, (1 << 22) | 0o755),
        (stat.S_IFDIR | 0o1777, (1 << 31) | (1 << 20) | 0o777),
    ],
)
def test_modes_are_go_s(mode, expected):
    assert go_file_mode(mode) == expected
