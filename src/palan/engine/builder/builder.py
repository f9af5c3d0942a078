"""One build: the instructions of a Dockerfile, one after the other."""

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

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
from palan.engine.builder.context import Context
from palan.engine.builder.copying import copied_layer, lowers_of, picked_of_layers, plan_copy
from palan.engine.builder.heredocs import SCRIPTS, command_with
from palan.engine.builder.options import Options
from palan.engine.builder.output import Output
from palan.engine.builder.running import Containers
from palan.engine.builder.selection import Picked
from palan.engine.builder.state import GivenLabel, State, begin_stage
from palan.engine.builder.steps import Base, Step, make_image
from palan.engine.builder.workdir import made_directory
from palan.engine.containers.naming import generate_id
from palan.engine.images.catalog import Lease
from palan.engine.images.configure import CONFIGURING
from palan.engine.images.platform import host_platform, parse_specifier
from palan.engine.images.stock import Stock
from palan.engine.threads import in_thread
from palan.host.layerview import Layers


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["Builder", "Work"]

_SCRATCH: Final = "scratch"
_WILL_BE_ERRORS: Final = "Empty continuation lines will become errors in a future release."

AnyStep = Instruction | GivenLabel


@dataclass(frozen=True, slots=True)
class Work:
    """What a build works with.

    Attributes:
        engine: the engine.
        options: what was asked for.
        output: what the client is told.
        context: the files to copy; None without any.
        lease: keeps the content that the build needs.
        held: keeps images as long as the build takes.
        known: what builds have found in images, by the image and the source.
    """

    engine: "Engine"
    options: Options
    output: Output
    context: Context | None
    lease: Lease
    held: contextlib.ExitStack
    known: dict[tuple[str, str], list[Picked]]


class Builder:
    """Carries out a Dockerfile.

    Attributes:
        engine: the engine.
        options: what was asked for.
        output: what the client is told.
        context: the files to copy; None without any.
        lease: keeps the content that the build needs.
        place: where threads see layers.
    """

    def __init__(self, work: Work) -> None:
        self.engine = work.engine
        self.options = work.options
        self.output = work.output
        self.context = work.context
        self.lease = work.lease
        self.place = work.engine.paths.view
        self._bases = Bases(work.engine, work.options, work.output, work.lease, work.held)
        self._containers = Containers(self)
        self._arguments = Arguments(work.options.arguments)
        self._named: dict[str, Base] = {}
        self._stages: list[Base] = []
        self._known = work.known
        self._number = 0
        self._total = 0

    @property
    def stock(self) -> Stock:
        """All images."""
        return self.engine.images.stock

    async def run(self, dockerfile: Dockerfile) -> Base:
        """Build; the image of the last stage.

        Raises:
            PalanError: a step can't be done, or has failed.
        """
        stages = self._wanted(dockerfile.stages)
        labels = [GivenLabel(name, value) for name, value in self.options.labels.items()]
        steps: list[Sequence[AnyStep]] = [stage.instructions for stage in stages]
        steps[-1] = [*steps[-1], *labels]
        self._total = len(dockerfile.meta_args) + len(stages) + sum(map(len, steps))
        for warning in dockerfile.warnings:
            await self.output.warn(f"[WARNING]: {warning}\n")
        if dockerfile.warnings:
            await self.output.warn(f"[WARNING]: {_WILL_BE_ERRORS}\n")
        await self._arguments_before(dockerfile)
        base = Base(host_platform())
        for stage, instructions in zip(stages, steps, strict=True):
            base = await self._stage(stage, instructions, dockerfile.escape)
        if unused := self._arguments.unused():
            await self.output.say(
                f"[Warning] One or more build-args [{' '.join(unused)}] were not consumed\n"
            )
        if base.image is None:
            raise InvalidParameter("No image was generated. Is your Dockerfile empty?")
        return base

    def _wanted(self, stages: Sequence[Stage]) -> Sequence[Stage]:
        target = self.options.target
        if not target:
            return stages
        for number, stage in enumerate(stages):
            if stage.name and stage.name == target.lower():
                return stages[: number + 1]
        raise InvalidParameter(f'target stage "{target}" could not be found')

    async def _step(self, source: str) -> None:
        self._number += 1
        await self.output.say(f"Step {self._number}/{self._total} : {source}")
        await self.output.say("\n")

    async def _arguments_before(self, dockerfile: Dockerfile) -> None:
        for step in dockerfile.meta_args:
            await self._step(step.source)
            values = self._arguments.for_bases()
            for name, value in step.pairs:
                expanded = None if value is None else _expanded(value, values, dockerfile.escape)
                self._arguments.declare_before(name, expanded)

    # ---- stages ---------------------------------------------------------------------

    async def _stage(self, stage: Stage, instructions: Iterable[AnyStep], escape: str) -> Base:
        self._check_name(stage.name)
        await self._step(stage.source)
        base = await self._from(stage, escape)
        cache = self._cache(base)
        self._arguments.begin_stage()
        state = begin_stage(base, self._arguments, cache, escape)
        await self._triggers(state)
        await self._arrived(state)
        for step in instructions:
            await self._step(step.source)
            await self._dispatch(state, step)
            await self._arrived(state)
        if state.base.image is not None:
            await self.output.built(state.base.id)
        self._check_name(stage.name)
        if stage.name:
            self._named[stage.name] = state.base
        self._stages.append(state.base)
        return state.base

    def _check_name(self, name: str) -> None:
        if name and name in self._named:
            raise InvalidParameter(f"{name} stage name already used")

    async def _arrived(self, state: State) -> None:
        await self.output.say(f" ---> {state.base.id[7:19]}\n")

    def _cache(self, base: Base) -> Cache:
        """What a stage may take steps from."""
        sources: list[Base] | None = None
        if self.options.cache_from:
            sources = []
            for name in self.options.cache_from:
                # An image that is not here is no mistake.
                with contextlib.suppress(NotFound, InvalidParameter):
                    sources.append(self._bases.take(self.engine.images.resolve(name)))
        platform = self.options.platform or base.platform
        cache = Cache(self.stock, self.lease, self._bases.take, platform, sources)
        cache.used = not self.options.no_cache
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
        if name.lower() in self._named:
            return self._named[name.lower()]
        if name == _SCRATCH:
            return Base(platform or self.options.platform or host_platform())
        return await self._bases.find(name, platform)

    async def stage_or_image(self, name: str) -> Base:
        """What ``COPY --from`` names: a stage by name or number, or an image.

        Raises:
            InvalidParameter: there is no such stage.
            PalanError: there is no such image, and it can't be pulled.
        """
        if name.lower() in self._named:
            return self._named[name.lower()]
        if name.removeprefix("-").isascii() and name.removeprefix("-").isdecimal():
            number = int(name[:9])
            if number == len(self._stages):
                raise InvalidParameter("refers to current build stage")
            if not 0 <= number < len(self._stages):
                raise InvalidParameter("index out of bounds")
            return self._stages[number]
        return await self._bases.find(name, None)

    async def picked_of_image(self, image: Base, source: str) -> list[Picked]:
        """What a source means in an image; it is looked for but once.

        Raises:
            InvalidParameter: it is not there.
        """
        key = (image.id, source)
        if key not in self._known:
            with self.stock.unpacker.scratch() as scratch:
                layers = Layers(lowers_of(image, scratch))
                self._known[key] = await in_thread(
                    lambda: picked_of_layers(self.place, layers, source)
                )
        return self._known[key]

    async def _triggers(self, state: State) -> None:
        """What the base image wants to be done in builds that begin with it."""
        triggers, state.config.on_build = state.config.on_build, []
        if not triggers:
            return
        plural = "s" if len(triggers) > 1 else ""
        await self.output.say(f"# Executing {len(triggers)} build trigger")
        if plural:
            await self.output.say(plural)
        await self.output.say("\n")
        for trigger in triggers:
            try:
                step = parse_instruction(trigger, escape=state.escape)
            except DockerfileError as error:
                raise InvalidParameter(str(error)) from None
            await self._dispatch(state, step)

    # ---- steps ----------------------------------------------------------------------

    async def _dispatch(self, state: State, step: AnyStep) -> None:
        """Do a step, and remove its containers whatever becomes of it."""
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
            await self._containers.settle(failed=True)
            raise
        except BaseException:  # the client has gone
            await self._containers.settle(failed=True, quiet=True)
            raise
        await self._containers.settle(failed=False)

    async def _using_cache(self, state: State, step: Step) -> bool:
        found = await state.cache.find(state.base, step)
        if found is None:
            return False
        state.base = found
        await self.output.say(" ---> Using cache\n")
        return True

    async def _commit(self, state: State, step: Step) -> None:
        state.base = await make_image(self.stock, state.base, step, self.lease)
        if state.base.image is not None:
            self._bases.keep(state.base.image)

    async def _configure(self, state: State, step: AnyStep) -> None:
        before = state.config.healthcheck
        if isinstance(step, Healthcheck) and before and before.test not in ([], ["NONE"]):
            words = " ".join(before.test)
            await self.output.say(f"Note: overriding previous HEALTHCHECK: [{words}]\n")
        if isinstance(step, Arg):
            change = state.declare(step)
        elif isinstance(step, GivenLabel):
            change = state.label(step)
        else:
            change = CONFIGURING[type(step)](state, step)
        told = state.told("#(nop) ", change)
        if isinstance(step, Healthcheck):
            state.inherit_check(before)
        done = self._done(state, told)
        if await self._using_cache(state, done):
            return
        await self._pretend(state, told)
        await self._commit(state, done)

    def _done(self, state: State, told: Sequence[str], *, runs: bool = False) -> Step:
        """A step that is to be, or was, done."""
        config = state.config_now()
        return Step(step_key(config, told, runs=runs), " ".join(told), config, state.author)

    async def _pretend(self, state: State, told: Sequence[str]) -> None:
        """Say what dockerd says about the container that such a step has there.

        Here it has none, unless the client wants containers to be kept.
        """
        if not self.options.remove and state.base.image is not None:
            await self._containers.make(state.base.id, state.config, told, ())
            return
        made_up = generate_id()[:12]
        await self.output.say(f" ---> Running in {made_up}\n")
        await self.output.say(f" ---> Removed intermediate container {made_up}\n")

    async def _workdir(self, state: State, step: Workdir) -> None:
        told = state.told(f"#(nop) {CONFIGURING[Workdir](state, step)}")
        done = self._done(state, told)
        if await self._using_cache(state, done):
            return
        await self._pretend(state, told)
        layer = await made_directory(self, state.base, state.config.working_dir)
        await self._commit(state, replace(done, layer=layer))

    async def _copy(self, state: State, step: Add | Copy) -> None:
        with self.stock.unpacker.scratch() as scratch:
            plan = await plan_copy(self, state, step, scratch)
            told = state.told(f"#(nop) {plan.told}")
            done = self._done(state, told)
            if await self._using_cache(state, done):
                return
            layer = await copied_layer(self, state.base, plan, scratch)
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
        told = cmd
        if env:
            minded = sorted(e for e in env if state.arguments.told(e.partition("=")[0]))
            told = [f"|{len(minded)}", *minded, *cmd]
        if command.script:
            told = [*told, command.script]
        done = self._done(state, told, runs=True)
        if await self._using_cache(state, done):
            return
        if state.base.image is None:
            program = cmd[0] if cmd else ""
            raise InvalidParameter(
                f'unable to start container process: exec: "{program}": stat {program}:'
                " no such file or directory"
            )
        with self.stock.unpacker.scratch() as scratch:
            binds = []
            if command.script:
                await in_thread(lambda: command.keep_script(scratch / "scripts"))
                binds = [f"{scratch}/scripts:{SCRIPTS}:ro"]
            container = await self._containers.make(
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
