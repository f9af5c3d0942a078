"""Discovery of plugins, and requests to them."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.plugin import TestPlugin

from palan.plugins import (
    PluginFailure,
    PluginNotFound,
    PluginPaths,
    PluginRegistry,
    PluginUnreachable,
)
from palan.plugins.client import PluginClient
from palan.plugins.discovery import Address


def paths(tmp_path: Path) -> PluginPaths:
    return PluginPaths((tmp_path / "run",), (tmp_path / "etc", tmp_path / "usr"))


async def test_a_plugin_is_found_and_activated_once(tmp_path: Path):
    methods = {"VolumeDriver.Path": lambda asked: {"Mountpoint": f"/mnt/{asked['Name']}"}}
    with TestPlugin(tmp_path / "run/vols.sock", ("VolumeDriver",), methods) as served:
        registry = PluginRegistry(paths(tmp_path))
        for _ in range(2):
            plugin = await registry.get("vols", "VolumeDriver")
            answer = await plugin.call("VolumeDriver.Path", {"Name": "data"})
            assert answer == {"Mountpoint": "/mnt/data"}
        assert [name for name, _ in served.calls].count("Plugin.Activate") == 1


async def test_a_plugin_with_another_driver_is_not_found(tmp_path: Path):
    with TestPlugin(tmp_path / "run/nets.sock", ("NetworkDriver",), {}):
        registry = PluginRegistry(paths(tmp_path))
        with pytest.raises(PluginNotFound, match="does not implement the requested driver"):
            await registry.get("nets", "VolumeDriver")
        assert [p.name for p in await registry.all("NetworkDriver")] == ["nets"]
        assert await registry.all("VolumeDriver") == []


async def test_an_absent_plugin_is_refused_at_once(tmp_path: Path):
    registry = PluginRegistry(paths(tmp_path))
    started = time.monotonic()
    for name in ("bogus", "", "../run/vols", "a/b", ".", "nul\0"):
        with pytest.raises(PluginNotFound, match="not found"):
            await registry.get(name, "VolumeDriver")
    assert time.monotonic() - started < 1


async def test_get_waits_for_a_plugin_that_starts_later(tmp_path: Path):
    registry = PluginRegistry(paths(tmp_path))
    waiting = asyncio.create_task(registry.get("late", "VolumeDriver", patience=30))
    await asyncio.sleep(0.1)
    with TestPlugin(tmp_path / "run/late.sock", ("VolumeDriver",), {}):
        assert (await waiting).name == "late"


async def test_addresses_are_read_from_spec_and_json_files(tmp_path: Path):
    where = paths(tmp_path)
    for directory in ("etc", "usr/deep"):
        (tmp_path / directory).mkdir(parents=True)
    (tmp_path / "etc/one.spec").write_text("unix:///run/one.sock\n")
    (tmp_path / "etc/two.json").write_text(json.dumps({"Name": "two", "Addr": "http://h:8080"}))
    (tmp_path / "usr/deep/deep.json").write_text(
        json.dumps({"Addr": "https://[::1]:1", "TLSConfig": {"CAFile": "/ca", "CertFile": "/c"}})
    )
    (tmp_path / "usr/one.spec").write_text("tcp://elsewhere:1")
    assert where.find("one") == Address(path="/run/one.sock")
    assert where.find("two") == Address(host="h", port=8080)
    deep = where.find("deep")
    assert deep.host == "::1"
    assert deep.tls is not None
    assert deep.tls.ca_file == "/ca"
    assert where.names() == ["deep", "one", "two"]


@pytest.mark.parametrize(
    "text", ["", "nowhere", "gopher://x", "tcp://", "http://x:notaport", "{"], ids=repr
)
async def test_files_without_an_address_are_named_in_the_error(tmp_path: Path, text: str):
    (tmp_path / "etc").mkdir()
    for name, content in (("bad.spec", text), ("worse.json", json.dumps({"Addr": text}))):
        (tmp_path / "etc" / name).write_text(content)
        with pytest.raises(PluginFailure, match=name):
            paths(tmp_path).find(name.split(".", maxsplit=1)[0])


async def test_errors_have_the_words_of_the_plugin(tmp_path: Path):
    methods: dict[str, Any] = {
        "a": lambda _: {"Err": "no such volume"},
        "b": lambda _: (500, b'{"Err": "out of order"}'),
        "c": lambda _: (404, b"page not found\n"),
        "d": lambda _: (200, b"<html>"),
        "e": lambda _: (200, b"[]"),
        "f": lambda _: (200, b""),
    }
    with TestPlugin(tmp_path / "x.sock", (), methods) as served:
        plugin = PluginClient("x", Address(path=str(served.socket)))
        for method, words, status in (
            ("a", "no such volume", 200),
            ("b", "b: out of order", 500),
            ("c", "c: page not found", 404),
            ("d", "d: the answer is not a JSON object: .*", 200),
            ("e", "e: the answer is not a JSON object: .*", 200),
        ):
            with pytest.raises(PluginFailure, match=f"^{words}$") as caught:
                await plugin.call(method)
            assert caught.value.status == status
        assert await plugin.call("f") == {}


async def test_a_closed_connection_and_a_timeout_are_reported(tmp_path: Path):
    done = threading.Event()
    methods: dict[str, Any] = {"quits": lambda _: None, "sleeps": lambda _: done.wait(20) or {}}
    with TestPlugin(tmp_path / "x.sock", (), methods) as served:
        plugin = PluginClient("x", Address(path=str(served.socket)))
        with pytest.raises(PluginUnreachable, match="without an answer"):
            await plugin.call("quits")
        with pytest.raises(PluginUnreachable, match=r"no answer within 0\.1 seconds"):
            await plugin.call("sleeps", timeout=0.1)
        done.set()


async def test_a_socket_without_a_listener(tmp_path: Path):
    (tmp_path / "run").mkdir()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "run/dead.sock"))
    registry = PluginRegistry(paths(tmp_path))
    with pytest.raises(PluginUnreachable, match="Connection refused"):
        await registry.get("dead", "VolumeDriver")
    assert await registry.all("VolumeDriver") == []


@asynccontextmanager
async def serve_answer(path: Path, data: bytes) -> AsyncIterator[PluginClient]:
    """Serve a plugin that sends the same response to every request."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        writer.close()

    server = await asyncio.start_unix_server(answer, str(path))
    async with server:
        yield PluginClient("x", Address(path=str(path)))


async def test_answers_without_length_and_in_chunks(tmp_path: Path):
    for number, data in enumerate(
        (
            b'HTTP/1.0 200 OK\r\n\r\n{"a": 1}',
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                b'4\r\n{"a"\r\n4\r\n: 1}\r\n0\r\n\r\n'
            ),
        )
    ):
        async with serve_answer(tmp_path / f"{number}.sock", data) as plugin:
            assert await plugin.call("x") == {"a": 1}


@settings(max_examples=25, deadline=None)
@given(st.binary(max_size=200))
def test_any_answer_is_parsed_or_raises_plugin_failure(tmp_path_factory: Any, data: bytes):
    async def ask() -> None:
        async with serve_answer(tmp_path_factory.mktemp("p") / "x.sock", data) as plugin:
            with suppress(PluginFailure):
                await plugin.call("x", timeout=5)

    asyncio.run(ask())
