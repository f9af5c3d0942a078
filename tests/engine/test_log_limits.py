"""The size of logs: bounded where that is asked for, and honest about the rest."""

import pytest
from tests.support.engine import TestEngine


pytestmark = pytest.mark.root


def test_a_log_is_begun_anew_when_it_is_full(engine: TestEngine):
    limit = {"LogConfig": {"Type": "json-file", "Config": {"max-size": "20k"}}}
    container = engine.run("seq", "1", "5000", host=limit)
    assert engine.wait(container) == 0
    log = engine.data_root / "containers" / container / "container.log"
    assert 0 < log.stat().st_size < 25_000
    answer = engine.api.get(f"/containers/{container}/logs?stdout=1&tail=1")
    assert answer.body.endswith(b"5000\n")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max-size": "1m", "max-file": "3"}, "The log is kept in one file"),
        ({"mode": "non-blocking"}, "Of the options of log drivers"),
        ({"max-size": "1m"}, ""),
    ],
)
def test_options_without_effect_are_told(engine: TestEngine, options: dict[str, str], words: str):
    answer = engine.api.post(
        "/containers/create",
        {
            "Image": "busybox",
            "Cmd": ["true"],
            "HostConfig": {"LogConfig": {"Type": "json-file", "Config": options}},
        },
    )
    assert answer.status == 201, answer.body
    warnings = " ".join(answer.json["Warnings"])
    assert words in warnings
    assert bool(words) is bool(warnings)
