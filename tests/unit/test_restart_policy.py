import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.containers import make_record

from palan.api.containers import HostConfig
from palan.engine.containers.restart_policy import (
    FIRST_DELAY,
    LONGEST_DELAY,
    RESET_AFTER,
    delays,
    starts_with_engine,
    wants_restart,
)


def make(policy="always", retries=0, **fields):
    host = HostConfig(network_mode="bridge")
    host.restart_policy.name = policy
    host.restart_policy.maximum_retry_count = retries
    return make_record(1, host_config=host, **fields)


@pytest.mark.parametrize(
    ("policy", "retries", "fields", "wanted"),
    [
        ("", 0, {}, False),
        ("no", 0, {"exit_code": 1}, False),
        ("always", 0, {}, True),
        ("always", 0, {"stopped_by_user": True}, False),
        ("unless-stopped", 0, {"exit_code": 0}, True),
        ("unless-stopped", 0, {"stopped_by_user": True}, False),
        ("on-failure", 0, {"exit_code": 0}, False),
        ("on-failure", 0, {"exit_code": 137, "restart_count": 1000}, True),
        ("on-failure", 3, {"exit_code": 1, "restart_count": 2}, True),
        ("on-failure", 3, {"exit_code": 1, "restart_count": 3}, False),
        ("on-failure", 3, {"exit_code": 1, "stopped_by_user": True}, False),
    ],
)
def test_restart_policies_decide(policy, retries, fields, wanted):
    assert wants_restart(make(policy, retries, **fields)) is wanted


def test_delays_double_up_to_a_minute():
    found, scheduled = [], 0.0
    for _ in range(14):
        delay, scheduled = delays(scheduled, lasted=0)
        found.append(delay)
    assert found[:4] == [FIRST_DELAY, 0.2, 0.4, 0.8]
    assert found == sorted(found)
    assert found[-2:] == [LONGEST_DELAY, LONGEST_DELAY]


def test_a_container_that_ran_for_a_while_begins_anew():
    assert delays(6.4, RESET_AFTER - 1) == (6.4, 12.8)
    assert delays(6.4, RESET_AFTER) == (FIRST_DELAY, 2 * FIRST_DELAY)


@pytest.mark.parametrize(
    ("policy", "fields", "starts"),
    [
        ("always", {"status": "exited", "started": 1}, True),
        ("always", {"status": "exited", "started": 1, "stopped_by_user": True}, True),
        ("always", {"status": "created"}, False),
        ("always", {"status": "exited"}, False),
        ("unless-stopped", {"status": "exited", "started": 1}, True),
        ("unless-stopped", {"status": "exited", "started": 1, "stopped_by_user": True}, False),
        ("on-failure", {"status": "exited", "started": 1, "exit_code": 1}, False),
        ("on-failure", {"status": "restarting", "started": 1, "exit_code": 1}, False),
        ("no", {"status": "exited", "started": 1}, False),
        ("always", {"status": "running", "started": 1}, False),
    ],
)
def test_containers_that_start_with_the_engine(policy, fields, starts):
    assert starts_with_engine(make(policy, **fields)) is starts


@given(st.integers(1, 5), st.lists(st.integers(0, 2), max_size=20))
def test_on_failure_never_restarts_more_often_than_it_may(retries, codes):
    record = make("on-failure", retries)
    restarts = 0
    for code in codes:
        record.exit_code = code
        if not wants_restart(record):
            break
        restarts += 1
        record.restart_count += 1
    assert restarts <= retries
