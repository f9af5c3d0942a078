"""Running an exec's process: its OCI process, made from the container's, under a conmon."""

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from palan.api.errors import PalanError
from palan.engine.containers.links import link_environment
from palan.engine.exec.session import ExecInstance
from palan.engine.oci.environment import exec_environment
from palan.engine.oci.process import exec_process
from palan.host.conmon import ExecPlan
from palan.host.filesystem import remove_tree
from palan.host.oci_runtime import OCIRuntime


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["run"]


async def run(engine: "Engine", instance: ExecInstance, size: tuple[int, int]) -> None:
    """Start the process; it runs when this returns.

    Args:
        engine: the engine.
        instance: what to run; its ``monitored`` is set.
        size: height and width of its terminal; zeros leave them alone.

    Raises:
        StartFailure: the program can't be run, in dockerd's words.
        OSError: something of the container is not there any more.
        Unavailable: there is no runtime.
    """
    runtime = engine.runtimes.get(instance.container.record.runtime)
    bundle = engine.paths.bundle(instance.container.id)
    directory = bundle / "execs" / instance.id
    plan = ExecPlan(
        id=instance.id,
        container=instance.container.id,
        directory=directory,
        process=_process(engine, instance, (bundle / "config.json").read_bytes(), size),
        tty=instance.config.tty,
        stdin=instance.config.attach_stdin,
    )
    # Cancelling would leave a half-made process: it is brought to its end in any case.
    starting = engine.spawn(_start(engine, runtime, instance, plan))
    error = await asyncio.shield(starting)
    if error is not None:
        raise error


async def _start(
    engine: "Engine", runtime: OCIRuntime, instance: ExecInstance, plan: ExecPlan
) -> PalanError | OSError | None:
    """Start it; what the caller is to be told if that fails, which is not for the log."""
    program = (instance.config.cmd or [""])[0]
    try:
        instance.monitored = await engine.runtimes.exec(
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
    engine: "Engine", instance: ExecInstance, spec: bytes, size: tuple[int, int]
) -> dict[str, Any]:
    config = instance.config
    whole = msgspec.json.decode(spec)
    container: dict[str, Any] = whole["process"]
    record = instance.container.record
    return exec_process(
        container,
        args=config.cmd or (),
        env=exec_environment(
            [*link_environment(engine, instance.container), *(record.config.env or ())],
            config.env,
            hostname=whole.get("hostname", record.config.hostname),
            tty=config.tty,
            home=instance.home,
        ),
        cwd=config.working_dir,
        user=instance.user,
        terminal=config.tty,
        console_size=size,
        privileged=config.privileged,
        bounding=engine.machine.host.bounding,
    )
