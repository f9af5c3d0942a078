"""Clients that would use the engine's newest version although they do not know it."""

import pytest

from palan.api.system import SystemVersion
from palan.api.version import MAX_VERSION
from palan.server.old_clients import limit_version


@pytest.mark.parametrize(
    ("agent", "told"),
    [
        ("docker-compose/1.29.2 docker-py/5.0.3 Linux/6.1", "1.41"),
        ("docker-py/7.1.0", str(MAX_VERSION)),
        ("docker-compose/2.0", str(MAX_VERSION)),
        ("not-docker-compose/1.29", str(MAX_VERSION)),
    ],
)
def test_compose_1_gets_the_version_it_was_made_for(agent, told):
    answer = SystemVersion(api_version=str(MAX_VERSION), version="x")
    assert limit_version({"user-agent": agent}, answer).api_version == told
    assert answer.api_version == str(MAX_VERSION)


def test_an_older_engine_stays_what_it_is():
    answer = SystemVersion(api_version="1.40")
    headers = {"user-agent": "docker-compose/1.29.2"}
    assert limit_version(headers, answer) is answer
    assert limit_version({}, answer) is answer
    assert limit_version(headers, None) is None
