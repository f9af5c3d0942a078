"""Fixtures for tests against a real engine."""

from collections.abc import Iterator

import pytest
from hypothesis import settings
from tests.support.engine import TestEngine


# The time of an example depends on the machine more than on the tested code.
settings.register_profile("palan", deadline=None)
settings.load_profile("palan")


@pytest.fixture(scope="session")
def shared_engine() -> Iterator[TestEngine]:
    engine = TestEngine()
    engine.start()
    engine.load_image()
    yield engine
    engine.close()


@pytest.fixture
def engine(shared_engine: TestEngine) -> Iterator[TestEngine]:
    """The engine of the session, without containers before and after."""
    yield shared_engine
    shared_engine.remove_all()


@pytest.fixture
def own_engine() -> Iterator[TestEngine]:
    """An engine that the test may kill, restart and configure."""
    engine = TestEngine()
    engine.start()
    engine.load_image()
    yield engine
    engine.close()
