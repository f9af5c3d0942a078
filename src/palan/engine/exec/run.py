"""Starting the process of an exec under a conmon, and watching it until it ends."""

import asyncio
import time
from typing import Any

import msgspec
import structlog

from palan.api.errors import InternalError, PalanError
from palan.engine.exec.context import ExecContext
from palan.engine.exec.instance import ExecInstance
from palan.engine.exec.leftovers import remove_directory
from palan.engine.exec.target import not_running, was_ending
from palan.engine.oci.environment import exec_environment
from palan.engine.oci.process import exec_process
from palan.host.conmon import ExecPlan
from palan.host.filesystem import remove_tree
from palan.host.oci_runtime import OCIRuntime


__all__ = ["run_exec"]

_log: Any = structlog.get_logger("palan.engine")


async def run_exec(
    context: ExecContext, instance: ExecInstance, size: tuple[int, int] = (0, 0)
) -> None:
    """Start the process of an exec; it runs when this returns.

    Must not be cancelled.

    Args:
        context: the execs.
        instance: the exec; its ``monitored`` is set.
        size: height and width of its terminal; zeros leave them unset.

    Raises:
        PalanError: it can't be run, in dockerd's words.
    """
    context.publish(instance, f"exec_start: {instance.command}")
    try:
        await _run(context, instance, size)
    except BaseException as error:
        _note_end(instance)
        if isinstance(error, OSError | PalanError) and await was_ending(instance.target, error):
            raise not_running(instance.target) from None
        if isinstance(error, OSError):  # such as a full disk
            raise InternalError(f"unable to start exec: {error}") from error
        raise
    instance.up.set()
    context.surroundings.spawn(_watch(context, instance))


async def _run(context: ExecContext, instance: ExecInstance, size: tuple[int, int]) -> None:
    engine, target = context.surroundings, instance.target
    runtime = engine.runtimes.get(target.runtime)
    spec = (engine.paths.bundle(target.id) / "config.json").read_bytes()
    plan = ExecPlan(
        id=instance.id,
        container=target.id,
        directory=context.directory(instance),
        process=_process(instance, spec, size, engine.machine.host.bounding),
        tty=instance.config.tty,
        stdin=instance.config.attach_stdin,
    )
    # Cancelling would leave a half-made process, so the start is completed in any case.
    starting = engine.spawn(_start(context, runtime, instance, plan))
    error = await asyncio.shield(starting)
    if error is not None:
        raise error


async def _start(
    context: ExecContext, runtime: OCIRuntime, instance: ExecInstance, plan: ExecPlan
) -> PalanError | OSError | None:
    """Start the process; return errors that are the caller's, and not for the log."""
    program = (instance.config.cmd or [""])[0]
    try:
        instance.monitored = await context.surroundings.runtimes.exec(
            runtime, plan, program, ready=lambda: instance.streams.opened(plan.directory)
        )
    except BaseException as error:
        instance.exit_code = getattr(error, "exit_code", 126)
        await asyncio.to_thread(remove_tree, plan.directory)
        if isinstance(error, PalanError | OSError):
            return error
        raise
    return None


def _process(
    instance: ExecInstance, spec: bytes, size: tuple[int, int], bounding: frozenset[str]
) -> dict[str, Any]:
    """Return ``process`` for the runtime, based on the container's runtime spec."""
    config, target = instance.config, instance.target
    whole = msgspec.json.decode(spec)
    container: dict[str, Any] = whole["process"]
    return exec_process(
        container,
        args=config.cmd or (),
        env=exec_environment(
            target.environment(),
            config.env,
            hostname=whole.get("hostname", target.hostname),
            tty=config.tty,
            home=instance.home,
        ),
        cwd=config.working_dir,
        user=instance.user,
        terminal=config.tty,
        console_size=size,
        privileged=config.privileged,
        bounding=bounding,
    )


async def _watch(context: ExecContext, instance: ExecInstance) -> None:
    assert instance.monitored is not None  # noqa: S101 - it was just started
    result = await instance.monitored.wait()
    instance.exit_code = result.code
    # At the end of the container, its directories may be removed before the exec's conmon ends.
    if result.lost and instance.monitored.directory.exists():
        _log.warning(
            "no exit code was written",
            container=instance.target.id,
            exec=instance.id,
            code=result.code,
            reason=result.problem,
        )
    _note_end(instance)
    context.publish(instance, "exec_die", exitCode=str(result.code))
    await remove_directory(instance.target, instance.monitored.directory)


def _note_end(instance: ExecInstance) -> None:
    instance.finished = True
    instance.ended_at = time.monotonic()
    instance.up.set()
    instance.streams.ended()
