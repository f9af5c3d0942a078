import pytest

from palan.api.containers import LogConfig
from palan.engine.logdrivers.settings import SHIPPED_AT_ONCE, LogSettings, log_settings


def settings(driver, **options):
    config = {name.replace("_", "-"): value for name, value in options.items()}
    return log_settings(LogConfig(type=driver, config=config))


@pytest.mark.parametrize(
    ("driver", "options", "size", "files", "compress"),
    [
        ("json-file", {}, 100_000_000, 5, False),
        ("json-file", {"max_file": "2"}, 100_000_000, 2, False),
        ("json-file", {"max_size": "-1", "max_file": "3"}, 0, 3, False),
        ("json-file", {"max_size": "10k"}, 10_000, 1, False),
        ("json-file", {"max_size": "10m", "max_file": "3", "compress": "true"}, 10**7, 3, True),
        ("json-file", {"max_size": "9000p", "max_file": "9" * 40}, 2**62, 10**18 - 1, False),
        ("local", {}, 20_000_000, 5, True),
        ("local", {"max_size": "1m", "compress": "false"}, 10**6, 5, False),
        ("syslog", {}, 20_000_000, 5, True),
        ("syslog", {"cache_max_size": "2m", "cache_max_file": "4"}, 2 * 10**6, 4, True),
    ],
)
def test_limits(driver, options, size, files, compress):
    found = settings(driver, **options)
    assert (found.max_size, found.max_files, found.compress) == (size, files, compress)
    assert found.kept
    assert found.ships is (driver == "syslog")


def test_what_can_be_read():
    assert not settings("none").readable
    assert not settings("none").kept
    assert settings("gelf").readable
    assert not settings("gelf", cache_disabled="true").readable
    assert settings("gelf", cache_disabled="true").kept
    assert settings("json-file", cache_disabled="true").readable


def test_who_looks_at_the_size():
    """conmon alone, conmon with the engine renaming, or the engine."""
    alone = settings("json-file", max_size="10k")
    assert (alone.rotates, alone.is_watched, alone.hard_limit) == (False, False, 10_000)
    small = settings("json-file", max_size="10k", max_file="3")
    assert (small.rotates, small.is_watched, small.hard_limit) == (True, True, SHIPPED_AT_ONCE)
    large = settings("json-file", max_size="10m", max_file="3")
    assert (large.rotates, large.is_watched, large.hard_limit) == (True, False, 10**7)
    unlimited = settings("json-file", max_size="-1")
    assert (unlimited.rotates, unlimited.hard_limit) == (False, 0)
    assert LogSettings(kept=False, max_size=5, max_files=2).rotates is False
