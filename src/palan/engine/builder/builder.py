"""The builder: executes the instructions of a Dockerfile, one after the other."""

import contextlib
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from palan.api.errors import InvalidParameter, NotFound
from palan.dockerfile import (
    Add,
    Arg,
    Copy,
    Dockerfile,
    DockerfileError,
    Healthcheck,
    Instruction,
    Run,
    Stage,
    Workdir,
    expand,
    parse_instruction,
)
from palan.engine.builder.arguments import Arguments
from palan.engine.builder.bases import Bases
from palan.engine.builder.cache import Cache, step_key
from palan.engine.builder.copying import copy_files, plan_copy
from palan.engine.builder.heredocs import SCRIPTS, command_with
from palan.engine.builder.job import Job
from palan.engine.builder.running import IntermediateContainers
from palan.engine.builder.stages import Stages
from palan.engine.builder.state import GivenLabel, State, begin_stage
from palan.engine.builder.steps import Base, Step, make_image
from palan.engine.builder.workdir import check_volumes, make_directory
from palan.engine.images.configure import CONFIGURING
from palan.engine.images.platform import host_platform, parse_specifier
from palan.engine.threads import in_thread


__all__ = ["Builder"]

_SCRATCH: Final = "scratch"
_WILL_BE_ERRORS: Final = "Empty continuation lines will become errors in a future release."

AnyStep = Instruction | GivenLabel


class Builder:
    """Executes the instructions of a Dockerfile."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._options = job.options
        self._output = job.output
        self._bases = Bases(job.images, job.options, job.output, job.lease, job.held)
        self._stages = Stages(self._bases)
        self._containers = IntermediateContainers(job)
        self._arguments = Arguments(job.options.arguments)
        self._number = 0
        self._total = 0

    async def run(self, dockerfile: Dockerfile) -> Base:
        """Execute all instructions, and return the image of the last stage.

        Raises:
            PalanError: a step is impossible or has failed.
        """
        stages = self._wanted(dockerfile.stages)
        labels = [GivenLabel(name, value) for name, value in self._options.labels.items()]
        steps: list[Sequence[AnyStep]] = [stage.instructions for stage in stages]
        steps[-1] = [*steps[-1], *labels]
        self._total = len(dockerfile.meta_args) + len(stages) + sum(map(len, steps))
        for warning in dockerfile.warnings:
            await self._output.warn(f"[WARNING]: {warning}\n")
        if dockerfile.warnings:
            await self._output.warn(f"[WARNING]: {_WILL_BE_ERRORS}\n")
        await self._arguments_before(dockerfile)
        base = Base(host_platform())
        for stage, instructions in zip(stages, steps, strict=True):
            base = await self._stage(stage, instructions, dockerfile.escape)
        if unused := self._arguments.unused():
            await self._output.say(
                f"[Warning] One or more build-args [{' '.join(unused)}] were not consumed\n"
            )
        if base.image is None:
            raise InvalidParameter("No image was generated. Is your Dockerfile empty?")
        return base

    def _wanted(self, stages: Sequence[Stage]) -> Sequence[Stage]:
        target = self._options.target
        if not target:
            return stages
        for number, stage in enumerate(stages):
            if stage.name and stage.name == target.lower():
                return stages[: number + 1]
        raise InvalidParameter(f'target stage "{target}" could not be found')

    async def _step(self, source: str) -> None:
        self._number += 1
        await self._output.say(f"Step {self._number}/{self._total} : {source}")
        await self._output.say("\n")

    async def _arguments_before(self, dockerfile: Dockerfile) -> None:
        for step in dockerfile.meta_args:
            await self._step(step.source)
            values = self._arguments.for_bases()
            for name, value in step.pairs:
                expanded = None if value is None else _expanded(value, values, dockerfile.escape)
                self._arguments.declare_before(name, expanded)

    # ---- stages ---------------------------------------------------------------------

    async def _stage(self, stage: Stage, instructions: Iterable[AnyStep], escape: str) -> Base:
        self._stages.check_name(stage.name)
        await self._step(stage.source)
        base = await self._from(stage, escape)
        cache = self._cache(base)
        self._arguments.begin_stage()
        state = begin_stage(base, self._arguments, cache, escape)
        await self._triggers(state)
        await self._say_image(state)
        for step in instructions:
            await self._step(step.source)
            await self._dispatch(state, step)
            await self._say_image(state)
        if state.base.image is not None:
            await self._output.built(state.base.id)
        self._stages.add(stage.name, state.base)
        return state.base

    async def _say_image(self, state: State) -> None:
        await self._output.say(f" ---> {state.base.id[7:19]}\n")

    def _cache(self, base: Base) -> Cache:
        """Return the cache of a stage."""
        sources: list[Base] | None = None
        if self._options.cache_from:
            sources = []
            for name in self._options.cache_from:
                # Naming an image that is not here is no error.
                with contextlib.suppress(NotFound, InvalidParameter):
                    sources.append(self._bases.resolve(name))
        platform = self._options.platform or base.platform
        job = self._job
        cache = Cache(
            job.image_context, job.lease, self._bases.use, platform, sources, made=job.made
        )
        cache.used = not self._options.no_cache
        return cache

    async def _from(self, stage: Stage, escape: str) -> Base:
        values = self._arguments.for_bases()
        platform = None
        if stage.platform:
            text = _expanded(stage.platform, values, escape)
            try:
                platform = parse_specifier(text)
            except InvalidParameter as error:
                raise InvalidParameter(
                    f"failed to parse platform {text}: {error.message}"
                ) from None
        name = _expanded(stage.base, values, escape)
        if not name:
            raise InvalidParameter(f"base name ({stage.base}) should not be blank")
        if (stage_named := self._stages.named(name)) is not None:
            return stage_named
        if name == _SCRATCH:
            return Base(platform or self._options.platform or host_platform())
        return await self._bases.find(name, platform)

    async def _triggers(self, state: State) -> None:
        """Execute the ``ONBUILD`` instructions of the base image."""
        triggers, state.config.on_build = state.config.on_build, []
        if not triggers:
            return
        plural = "s" if len(triggers) > 1 else ""
        await self._output.say(f"# Executing {len(triggers)} build trigger")
        if plural:
            await self._output.say(plural)
        await self._output.say("\n")
        for trigger in triggers:
            try:
                step = parse_instruction(trigger, escape=state.escape)
            except DockerfileError as error:
                raise InvalidParameter(str(error)) from None
            await self._dispatch(state, step)

    # ---- steps ----------------------------------------------------------------------

    async def _dispatch(self, state: State, step: AnyStep) -> None:
        """Execute an instruction, and remove its containers even if it fails."""
        try:
            if isinstance(step, Run):
                await self._run(state, step)
            elif isinstance(step, Add | Copy):
                await self._copy(state, step)
            elif isinstance(step, Workdir):
                await self._workdir(state, step)
            else:
                await self._configure(state, step)
        except Exception:
            await self._containers.finish_step(failed=True)
            raise
        except BaseException:  # the client has disconnected
            await self._containers.finish_step(failed=True, quiet=True)
            raise
        await self._containers.finish_step(failed=False)

    async def _using_cache(self, state: State, step: Step) -> bool:
        found = await state.cache.find(state.base, step)
        if found is None:
            return False
        state.base = found
        await self._output.say(" ---> Using cache\n")
        return True

    async def _commit(self, state: State, step: Step) -> None:
        job = self._job
        state.base = await make_image(job.image_context, state.base, step, job.lease, job.made)
        if state.base.image is not None:
            self._bases.hold(state.base.image)

    async def _configure(self, state: State, step: AnyStep) -> None:
        before = state.config.healthcheck
        volumes = set(state.config.volumes)
        if isinstance(step, Healthcheck) and before and before.test not in ([], ["NONE"]):
            words = " ".join(before.test)
            await self._output.say(f"Note: overriding previous HEALTHCHECK: [{words}]\n")
        if isinstance(step, Arg):
            change = state.declare(step)
        elif isinstance(step, GivenLabel):
            change = state.label(step)
        else:
            change = CONFIGURING[type(step)](state, step)
        command = state.shell_command("#(nop) ", change)
        if isinstance(step, Healthcheck):
            state.inherit_check(before)
        done = self._done(state, command)
        if await self._using_cache(state, done):
            return
        if added := [path for path in state.config.volumes if path not in volumes]:
            await check_volumes(self._job, state.base, added)
        await self._say_container(state, command)
        await self._commit(state, done)

    def _done(self, state: State, command: Sequence[str], *, runs: bool = False) -> Step:
        """Return the step that a command of the history stands for."""
        config = state.config_now()
        key = step_key(config, command, runs=runs)
        return Step(key, " ".join(command), config, state.author)

    async def _say_container(self, state: State, command: Sequence[str]) -> None:
        """Send what dockerd sends about the container of a step that runs nothing.

        This engine creates none, unless the client wants to keep containers.
        """
        if not self._options.remove and state.base.image is not None:
            await self._containers.create(state.base.id, state.config, command, ())
            return
        invented = secrets.token_hex(6)
        await self._output.say(f" ---> Running in {invented}\n")
        await self._output.say(f" ---> Removed intermediate container {invented}\n")

    async def _workdir(self, state: State, step: Workdir) -> None:
        command = state.shell_command(f"#(nop) {CONFIGURING[Workdir](state, step)}")
        done = self._done(state, command)
        if await self._using_cache(state, done):
            return
        await self._say_container(state, command)
        layer = await make_directory(self._job, state.base, state.config.working_dir)
        await self._commit(state, replace(done, layer=layer))

    async def _copy(self, state: State, step: Add | Copy) -> None:
        with self._job.scratch() as scratch:
            plan = await plan_copy(self._job, self._stages, state, step, scratch)
            done = self._done(state, state.shell_command(f"#(nop) {plan.description}"))
            if await self._using_cache(state, done):
                return
            layer = await copy_files(self._job, state.base, plan, scratch)
            await self._commit(state, replace(done, layer=layer))

    async def _run(self, state: State, step: Run) -> None:
        if step.flags:
            name = step.flags[0].partition("=")[0]
            raise InvalidParameter(
                f"the --{name} option requires BuildKit. Refer to"
                " https://docs.docker.com/go/buildkit/ to learn how to build images with"
                " BuildKit enabled"
            )
        command = command_with(step)
        cmd = [*state.shell, *command.words] if step.command.shell else list(command.words)
        env = state.arguments.environment(state.config.env)
        recorded = cmd
        if env:
            shown = sorted(e for e in env if state.arguments.recorded(e.partition("=")[0]))
            recorded = [f"|{len(shown)}", *shown, *cmd]
        if command.script:
            recorded = [*recorded, command.script]
        done = self._done(state, recorded, runs=True)
        if await self._using_cache(state, done):
            return
        if state.base.image is None:
            program = cmd[0] if cmd else ""
            raise InvalidParameter(
                f'unable to start container process: exec: "{program}": stat {program}:'
                " no such file or directory"
            )
        with self._job.scratch() as scratch:
            binds = []
            if command.script:
                await in_thread(lambda: command.write_script(scratch / "scripts"))
                binds = [f"{scratch}/scripts:{SCRIPTS}:ro"]
            container = await self._containers.create(
                state.base.id, state.config, cmd, env, binds=binds
            )
            await self._containers.run(container)
        layer = await self._containers.layer(container, state.base.diff_ids)
        await self._commit(state, replace(done, layer=layer))


def _expanded(text: str, variables: dict[str, str], escape: str) -> str:
    try:
        return expand(text, variables, escape)
    except DockerfileError as error:
        raise InvalidParameter(str(error)) from None
