import pytest

from palan.api.containers import LogConfig
from palan.engine.containers.validate_log import log_limit


@pytest.mark.parametrize(
    ("options", "limit"),
    [
        ({}, 0),
        ({"max-size": "-1", "max-file": "3"}, 0),
        ({"max-size": "10k"}, 10_000),
        ({"max-size": "10m", "max-file": "3"}, 30_000_000),
        ({"max-size": "9000p", "max-file": "9" * 40}, 2**62),
    ],
)
def test_the_limit_is_that_of_all_files_together(options: dict[str, str], limit: int):
    assert log_limit(LogConfig(type="json-file", config=options)) == limit
