import pytest

from palan.api.containers import ContainerConfig, HostConfig
from palan.engine.containers.record import ContainerRecord, Status
from palan.engine.containers.status_text import human_duration, status_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "Less than a second"),
        (1.9, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (120, "2 minutes"),
        (3599, "59 minutes"),
        (3600, "About an hour"),
        (2 * 3600, "2 hours"),
        (47 * 3600, "47 hours"),
        (3 * 86400, "3 days"),
        (15 * 86400, "2 weeks"),
        (70 * 86400, "2 months"),
        (800 * 86400, "2 years"),
    ],
)
def test_durations(seconds: float, text: str):
    assert human_duration(seconds) == text


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ("created", "Created"),
        ("running", "Up 5 seconds"),
        ("paused", "Up 5 seconds (Paused)"),
        ("exited", "Exited (3) 2 seconds ago"),
        ("restarting", "Restarting (3) 2 seconds ago"),
        ("removing", "Removal In Progress"),
        ("dead", "Dead"),
    ],
)
def test_states(status: Status, text: str):
    record = ContainerRecord(
        id="a" * 64, name="x", created=1, image="sha256:0", config=ContainerConfig(),
        host_config=HostConfig(), endpoints={}, layers=[], runtime="crun", status=status,
        started=10**18, finished=10**18 + 3 * 10**9, exit_code=3,
    )  # fmt: skip
    assert status_text(record, now=10**18 + 5 * 10**9) == text
