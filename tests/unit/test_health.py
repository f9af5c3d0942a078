import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.containers import make_container

from palan.api import UNSET
from palan.api.containers import ContainerConfig, HealthConfig
from palan.engine.containers.health import (
    HealthRecord,
    Result,
    check_of,
    probe_timeout,
    probe_wait,
    shown_status,
)
from palan.engine.containers.status_text import status_text
from palan.engine.timestamps import go_duration


S = 10**9


def result(code):
    return Result(start=0, end=1, exit_code=code, output="")


def test_it_is_unhealthy_after_so_many_failures_in_a_row():
    health, check = HealthRecord(), HealthConfig(retries=3)
    assert [health.add(result(code), check, 0) for code in (1, 1, 0)] == [False, False, True]
    assert (health.status, health.failing_streak) == ("healthy", 0)
    assert [health.add(result(code), check, 0) for code in (1, 137, -1)] == [False, False, True]
    assert (health.status, health.failing_streak) == ("unhealthy", 3)
    assert not health.add(result(1), check, 0)
    assert health.failing_streak == 4
    assert health.add(result(0), check, 0)
    assert health.status == "healthy"


def test_failures_do_not_count_while_it_starts():
    health, check = HealthRecord(), HealthConfig(retries=1, start_period=10 * S)
    assert not health.add(result(1), check, 5 * S)
    assert (health.status, health.failing_streak) == ("starting", 0)
    assert health.add(result(1), check, 11 * S)
    assert health.status == "unhealthy"


def test_once_it_was_healthy_its_start_is_over():
    health, check = HealthRecord(), HealthConfig(retries=1, start_period=100 * S)
    health.add(result(0), check, 1 * S)
    assert health.add(result(1), check, 2 * S)
    assert health.status == "unhealthy"


@given(st.lists(st.sampled_from([0, 1, -1]), max_size=30), st.integers(0, 4))
def test_the_status_follows_from_the_last_results(codes, retries):
    health, check = HealthRecord(), HealthConfig(retries=retries)
    for code in codes:
        health.add(result(code), check, 0)
    assert [entry.exit_code for entry in health.log] == codes[-5:]
    streak = 0
    while streak < len(codes) and codes[-1 - streak] != 0:
        streak += 1
    assert health.failing_streak == streak
    if streak >= (retries or 3):
        assert health.status == "unhealthy"
    elif 0 in codes:
        assert health.status == ("healthy" if streak == 0 else health.status)
    else:
        assert health.status == "starting"


def test_a_new_start_keeps_the_log():
    health = HealthRecord()
    health.add(result(0), HealthConfig(), 0)
    health.begin()
    assert (health.status, len(health.log)) == ("starting", 1)


@pytest.mark.parametrize(
    ("test", "shell", "command"),
    [
        (["CMD", "curl", "-f", "x"], UNSET, ["curl", "-f", "x"]),
        (["CMD-SHELL", "exit 1"], UNSET, ["/bin/sh", "-c", "exit 1"]),
        (["CMD-SHELL", "exit 1"], ["/bin/ash", "-ec"], ["/bin/ash", "-ec", "exit 1"]),
        (["NONE"], UNSET, None),
        (["BOGUS", "x"], UNSET, None),
        (["CMD"], UNSET, None),
        ([], UNSET, None),
    ],
)
def test_the_command_of_a_check(test, shell, command):
    found = check_of(ContainerConfig(healthcheck=HealthConfig(test=test), shell=shell))
    assert (found and found[1]) == command
    assert check_of(ContainerConfig()) is None


@pytest.mark.parametrize(
    ("fields", "status", "elapsed", "wait"),
    [
        ({}, "starting", 0, 30 * S),
        ({"interval": 7 * S}, "starting", 0, 7 * S),
        ({"interval": 7 * S, "start_period": 60 * S}, "starting", 0, 5 * S),
        ({"start_period": 60 * S, "start_interval": S}, "starting", 30 * S, S),
        ({"start_period": 60 * S, "start_interval": S}, "healthy", 10 * S, 30 * S),
        ({"start_period": 60 * S, "start_interval": S}, "starting", 60 * S, 30 * S),
        ({"start_period": 2 * S, "start_interval": 9 * S}, "starting", S, 9 * S),
    ],
)
def test_when_the_next_check_comes(fields, status, elapsed, wait):
    assert probe_wait(HealthConfig(**fields), HealthRecord(status=status), elapsed) == wait


def test_patience():
    assert probe_timeout(HealthConfig()) == 30 * S
    assert probe_timeout(HealthConfig(timeout=S)) == S


async def test_words_of_a_list():
    record = make_container(1, status="running", started=1).record
    now = 1 + 3 * S
    for status, words in (
        ("starting", "Up 3 seconds (health: starting)"),
        ("healthy", "Up 3 seconds (healthy)"),
        ("unhealthy", "Up 3 seconds (unhealthy)"),
    ):
        health = shown_status(HealthRecord(status=status))  # type: ignore[arg-type]
        assert status_text(record, now, health) == words
    assert status_text(record, now, shown_status(None)) == "Up 3 seconds"
    record.status = "paused"
    assert status_text(record, now, "healthy") == "Up 3 seconds (Paused)"


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1500, "1.5µs"),
        (250 * 10**6, "250ms"),
        (S, "1s"),
        (1_500_000_000, "1.5s"),
        (90 * S, "1m30s"),
        (120 * S, "2m0s"),
        (3600 * S + 1, "1h0m0.000000001s"),
    ],
)
def test_durations_are_printed_as_go_does(nanoseconds, text):
    assert go_duration(nanoseconds) == text
