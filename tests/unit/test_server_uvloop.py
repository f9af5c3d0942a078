"""Difficult tests of the server again on uvloop: its transports differ from asyncio's."""

import asyncio
import inspect
from importlib import import_module

import pytest


uvloop = pytest.importorskip("uvloop")


NEEDS = {"tmp_path", "monkeypatch"}


def scenarios(*modules: str):
    """Yield all tests of the modules that use no fixture but a directory."""
    for module in modules:
        for name, test in vars(import_module(module)).items():
            if name.startswith("test_") and set(inspect.signature(test).parameters) <= NEEDS:
                yield pytest.param(test, id=name.removeprefix("test_"))


@pytest.mark.parametrize(
    "scenario",
    list(scenarios("test_server_connection", "test_server_hijack", "test_server_websocket")),
)
def test_on_uvloop(scenario, tmp_path, monkeypatch):
    given = {"tmp_path": tmp_path, "monkeypatch": monkeypatch}
    needed = {name: given[name] for name in inspect.signature(scenario).parameters}
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario(**needed))
