"""The engine's process: its event loop, its signals, and its messages to the service manager."""

import asyncio
import faulthandler
import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import structlog

from palan import __version__
from palan.api.errors import PalanError, machine_failure
from palan.api.version import Version
from palan.cli.configuration import load_configuration
from palan.cli.flags import ServeFlags
from palan.cli.listen import listeners
from palan.cli.logging import set_up_logging
from palan.engine.config import EngineConfig
from palan.engine.config_load import ConfigError, reloaded
from palan.engine.engine import Engine
from palan.host.allocator import return_freed_memory
from palan.host.sdnotify import hide_notify_socket, listen_fds, sd_notify
from palan.server.app import Server
from palan.store.database import DamagedState


__all__ = ["run_daemon"]


_THREADS: Final = 64


def run_daemon(config: EngineConfig, flags: ServeFlags, warnings: Iterable[str]) -> int:
    """Run an engine until a signal ends it, and return the exit status."""
    hide_notify_socket()
    # dockerd dumps its stacks at SIGUSR1, too.
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_Daemon(config, flags).run(warnings))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop  # noqa: PLC0415 - an optional dependency
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


class _Daemon:
    """An engine and its server between start and stop."""

    def __init__(self, config: EngineConfig, flags: ServeFlags) -> None:
        self.config = config
        self.flags = flags
        self.log: Any = structlog.get_logger("palan")
        self.stopping = asyncio.Event()
        self._reload = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, warnings: Iterable[str]) -> int:
        """Start the engine, serve until a signal arrives, stop; return the exit status."""
        began = time.monotonic()
        return_freed_memory()
        loop = asyncio.get_running_loop()
        # The engine's threads mostly wait for the kernel, so more of them than asyncio's default.
        loop.set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="work"))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number)
        # Before the engine has started, nothing could apply a changed configuration.
        loop.add_signal_handler(
            signal.SIGHUP, self.log.warning, "no reload: the engine is still starting"
        )
        for warning in warnings:
            self.log.warning(warning)
        # Clients that connect early wait in the backlog instead of being refused.
        with listeners(self.config, listen_fds) as sockets:
            try:
                self.engine = Engine(self.config)
                await self.engine.start()
            except (DamagedState, PalanError) as error:
                self.log.error("the engine could not start", reason=str(error))  # noqa: TRY400
                return 1
            except Exception as error:
                if reason := machine_failure(error):
                    self.log.error("the engine could not start", reason=reason)  # noqa: TRY400
                    return 1
                self.log.exception("the engine could not start")
                return 1
            loop.add_signal_handler(signal.SIGHUP, self._start_reload)
            try:
                server = Server(
                    self.engine,
                    min_version=Version.parse(self.config.min_api_version),
                    settled=self.engine.db.settled,
                )
                for listener in sockets:
                    await server.listen(listener.socket, tls=listener.tls)
                    self.log.info("listening", address=listener.name)
                self._report_ready(time.monotonic() - began)
                await self.stopping.wait()
                sd_notify("STOPPING=1")
                await self._within_shutdown_timeout(server.close())
            finally:
                await self._within_shutdown_timeout(self.engine.stop())
        self.log.info("the engine has stopped; containers keep running")
        return 0

    def _report_ready(self, seconds: float) -> None:
        # The objects of start-up are never freed: the collector, off until now, skips them.
        gc.freeze()
        gc.enable()
        sd_notify("READY=1")
        self.log.info(
            "the engine is ready", version=__version__, pid=os.getpid(), seconds=round(seconds, 3)
        )

    async def _within_shutdown_timeout(self, work: Coroutine[Any, Any, None]) -> None:
        limit = self.config.shutdown_timeout
        try:
            async with asyncio.timeout(limit if limit >= 0 else None):
                await work
        except TimeoutError:
            self.log.warning("work was unfinished when the engine stopped", seconds=limit)

    # ---- signals -----------------------------------------------------------------

    def _stop(self, number: signal.Signals) -> None:
        if self.stopping.is_set():
            self.log.warning("second signal: exiting immediately", signal=number.name)
            sys.stderr.flush()
            os._exit(128 + number)
        self.log.info("stopping", signal=number.name)
        self.stopping.set()

    def _start_reload(self) -> None:
        task = asyncio.create_task(self.reload())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def reload(self) -> None:
        """Read the configuration again and apply the directives that can change at run time."""
        async with self._reload:
            # sd_notify(3): the time lets systemd see that the READY=1 below is the later message.
            sd_notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
            try:
                loaded = await asyncio.to_thread(
                    load_configuration, self.flags.given, self.flags.config_file
                )
            except ConfigError as error:
                self.log.error("the configuration was not reloaded", error=str(error))  # noqa: TRY400 - a traceback would add nothing
                sd_notify("READY=1")
                return
            self.config = reloaded(self.config, loaded.config)
            set_up_logging(self.config)
            for warning in loaded.warnings:
                self.log.warning(warning)
            if self.config != loaded.config:
                self.log.warning("some changes of the configuration take effect at the next start")
            await self.engine.reload(self.config)
            sd_notify("READY=1")
            self.log.info("the configuration was reloaded")
