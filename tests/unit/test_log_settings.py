import json

import pytest

from palan.api.containers import HostConfig, LogConfig
from palan.cli.configuration import load_configuration
from palan.engine.config_check import ConfigError
from palan.engine.containers.adapt import Defaults, adapt_host_config
from palan.engine.logdrivers.settings import SAFE_SIZE, LogSettings, log_settings


def configure(driver, options, path):
    path.write_text(json.dumps({"log-driver": driver, "log-opts": options}))
    return load_configuration({}, path)


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


def test_drivers_whose_logs_can_be_read():
    assert not settings("none").readable
    assert not settings("none").kept
    assert settings("gelf").readable
    assert not settings("gelf", cache_disabled="true").readable
    assert settings("gelf", cache_disabled="true").kept
    assert settings("json-file", cache_disabled="true").readable


def test_the_component_that_limits_the_log():
    """The engine polls small files; conmon limits large ones, and small ones at a safe size."""
    alone = settings("json-file", max_size="10k")
    assert (alone.rotates, alone.is_watched, alone.hard_limit) == (True, True, SAFE_SIZE)
    small = settings("json-file", max_size="10k", max_file="3")
    assert (small.rotates, small.is_watched, small.hard_limit) == (True, True, SAFE_SIZE)
    large = settings("json-file", max_size="10m", max_file="3")
    assert (large.rotates, large.is_watched, large.hard_limit) == (True, False, 10**7)
    unlimited = settings("json-file", max_size="-1")
    assert (unlimited.rotates, unlimited.hard_limit) == (False, 0)
    assert LogSettings(kept=False, max_size=5, max_files=2).rotates is False


@pytest.mark.parametrize(
    ("driver", "options", "words"),
    [
        ("bogus", {}, "logger: no log driver named 'bogus' is registered"),
        ("json-file", {"bogus": "1"}, "unknown log opt 'bogus' for json-file log driver"),
        ("gelf", {}, "gelf-address is a required parameter"),
        ("json-file", {"mode": "weird"}, "logger: logging mode not supported: weird"),
        ("splunk", {"splunk-format": "xml"}, "unknown format specified xml"),
    ],
)
def test_defaults_of_the_engine_that_can_not_be(tmp_path, driver, options, words):
    with pytest.raises(ConfigError) as failure:
        configure(driver, options, tmp_path / "daemon.json")
    assert words in str(failure.value)
    assert str(failure.value).startswith("failed to set log opts: ")


def test_defaults_of_the_engine_that_can_be(tmp_path):
    for driver, options in (
        ("none", {}),
        ("splunk", {}),
        ("local", {"max-size": "1m", "cache-max-size": "2m"}),
    ):
        loaded = configure(driver, options, tmp_path / "daemon.json")
        assert (loaded.config.log_driver, loaded.config.log_opts) == (driver, options)


def test_options_of_the_cache_are_defaults_for_all_drivers():
    host = HostConfig(log_config=LogConfig(type="syslog", config={"tag": "x"}))
    options = {"cache-max-size": "2m", "max-size": "1m"}
    adapt_host_config(host, Defaults(log_options=options))
    assert host.log_config.config == {"cache-max-size": "2m", "tag": "x"}
