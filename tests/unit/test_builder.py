"""The room ``build`` with fakes of containers: the steps that run, the images and the output."""

import contextlib
import io
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.images import ImagesEngine

from palan.api import Filters
from palan.api.build import BuildCancel, BuildImage, BuildPrune, ErrorDetail, JSONMessage
from palan.api.containers import ContainerCreateBody
from palan.api.errors import InvalidParameter
from palan.api.frames import STDERR, STDOUT, frame
from palan.engine.builder import Builds


class FakeStep:
    """A container that prints a line and changes nothing."""

    warnings = ()

    def __init__(self, number: int, body: ContainerCreateBody, exit_code: int, upper: Path) -> None:
        self.id = f"{number:064x}"
        self.body = body
        self.command = body.cmd or ()
        self.state = "created"
        self._exit_code = exit_code
        self._upper = upper

    async def run(self, write: Callable[[bytes], Awaitable[None]], /) -> int:
        self.state = "exited"
        await write(frame(STDOUT, "grüße".encode()[:3]))
        await write(frame(STDOUT, "grüße\n".encode()[3:]))
        await write(frame(STDERR, b"careful\n"))
        return self._exit_code

    @contextlib.asynccontextmanager
    async def changes(self) -> AsyncIterator[Path]:
        yield self._upper

    async def keep(self) -> None:
        self.state = "kept"

    async def remove(self) -> None:
        self.state = "removed"


class BuildEngine(ImagesEngine):
    """Enough of an engine for builds."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.steps: list[FakeStep] = []
        self.exit_code = 0
        self.build_paths = SimpleNamespace(view=root / "view")
        self._upper = root / "upper"
        self._upper.mkdir()

    async def create(self, body: ContainerCreateBody, /) -> FakeStep:
        step = FakeStep(len(self.steps) + 1, body, self.exit_code, self._upper)
        self.steps.append(step)
        return step

    def builds(self) -> Builds:
        surroundings: Any = SimpleNamespace(
            config=SimpleNamespace(experimental=False),
            paths=self.build_paths,
            events=self.events,
            images=self.images,
            step_containers=self,
        )
        return Builds(surroundings)


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[BuildEngine]:
    engine = BuildEngine(tmp_path)
    yield engine
    await engine.close()


async def _context(dockerfile: str) -> AsyncIterator[bytes]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("Dockerfile")
        member.size = len(dockerfile.encode())
        archive.addfile(member, io.BytesIO(dockerfile.encode()))
    yield buffer.getvalue()


async def build(engine: BuildEngine, dockerfile: str, **parameters: Any) -> list[JSONMessage]:
    request = BuildImage(body=_context(dockerfile), **parameters)
    stream = await engine.builds().build(request)
    return [message async for message in stream.messages]


def said(messages: list[JSONMessage]) -> str:
    return "".join(message.stream or "" for message in messages)


LABELLED = "FROM scratch\nLABEL a=b\n"


async def test_a_build_without_commands_has_no_container(engine):
    messages = await build(engine, LABELLED, t=["web"])
    assert engine.steps == []
    image = engine.images.resolve("web")
    assert image.labels == {"a": "b"}
    assert said(messages).endswith(
        f"Successfully built {image.short_id}\nSuccessfully tagged web:latest\n"
    )
    assert "tag" in engine.events.actions()


async def test_the_same_step_is_taken_from_the_cache(engine):
    await build(engine, LABELLED, t=["one"])
    messages = await build(engine, LABELLED, t=["two"])
    assert "Using cache" in said(messages)
    assert engine.images.resolve("one").id == engine.images.resolve("two").id
    messages = await build(engine, LABELLED, no_cache=True)
    assert "Using cache" not in said(messages)


async def test_a_command_runs_in_a_container_that_is_removed(engine):
    messages = await build(engine, LABELLED + "ARG who=me\nRUN echo hello\n", t=["web"])
    [step] = engine.steps
    assert step.state == "removed"
    assert step.body.cmd == ["/bin/sh", "-c", "echo hello"]
    assert "who=me" in (step.body.env or ())
    text = said(messages)
    assert "grüße\n" in text
    assert "\x1b[91mcareful\n\x1b[0m" in text
    assert f" ---> Removed intermediate container {step.id[:12]}\n" in text
    history = engine.images.resolve("web").spec.history
    assert history[-1].created_by == "|1 who=me /bin/sh -c echo hello"


async def test_a_failing_command_fails_the_build(engine):
    engine.exit_code = 3
    messages = await build(engine, LABELLED + "RUN false\n")
    assert messages[-1].error == ("The command '/bin/sh -c false' returned a non-zero code: 3")
    detail = messages[-1].error_detail
    assert isinstance(detail, ErrorDetail)
    assert detail.code == 3
    assert engine.steps[0].state == "kept"


async def test_containers_are_removed_and_kept_as_the_client_wants(engine):
    await build(engine, LABELLED + "RUN true\n", rm=False)
    assert [step.state for step in engine.steps] == ["kept"]
    engine.exit_code = 1
    await build(engine, LABELLED + "RUN other\n", force_rm=True)
    assert engine.steps[-1].state == "removed"


async def test_a_command_needs_an_image(engine):
    with pytest.raises(InvalidParameter, match="no such file or directory"):
        await build(engine, "FROM scratch\nRUN true\n")
    assert engine.steps == []


async def test_a_quiet_build_says_the_id_only(engine):
    [message] = await build(engine, LABELLED + "RUN true\n", q=True, t=["web"])
    assert message.stream == f"{engine.images.resolve('web').id}\n"


async def test_stages_are_known_by_name_and_number(engine):
    dockerfile = "FROM scratch AS first\nLABEL a=b\nFROM first\nLABEL c=d\nFROM 1\nLABEL e=f\n"
    with pytest.raises(InvalidParameter, match="stage name already used"):
        await build(engine, "FROM scratch AS one\nLABEL a=b\nFROM scratch AS one\nLABEL a=b\n")
    await build(engine, dockerfile.replace("FROM 1", "FROM first"), t=["web"])
    assert engine.images.resolve("web").labels == {"a": "b", "e": "f"}
    await build(engine, dockerfile, t=["target"], target="first")
    assert engine.images.resolve("target").labels == {"a": "b"}
    with pytest.raises(InvalidParameter, match="could not be found"):
        await build(engine, dockerfile, target="absent")


@pytest.mark.parametrize(
    "filters",
    [
        {"label": ["a", "b=c"], "label!": ["d"]},
        {"unused-for": ["24h"]},
        {"until": ["2020-01-01"], "id": ["x"], "type": ["regular"], "inuse": ["true"]},
    ],
)
async def test_prune_takes_the_filters_of_dockerd(engine, filters):
    await engine.builds().prune(BuildPrune(filters=Filters(filters)))


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"until": ["1h"], "unused-for": ["1h"]}, 'conflicting filters: "until" and "unused-for"'),
        ({"unused-for": ["1h", "2h"]}, "filters expect only one value"),
        ({"type": ["a", "b"]}, "filters expect only one value"),
        (
            {"unused-for": ["soon"]},
            (
                "\"unused-for\" filter expects a duration (e.g., '24h') or a timestamp:"
                ' failed to parse value as time or duration: invalid seconds "soon": invalid syntax'
            ),
        ),
    ],
)
async def test_prune_refuses_filters_in_the_words_of_dockerd(engine, filters, message):
    with pytest.raises(InvalidParameter) as error:
        await engine.builds().prune(BuildPrune(filters=Filters(filters)))
    assert error.value.message == f"failed to prune build cache: {message}"


async def test_prune_and_cancel_have_nothing_to_do(engine):
    builds = engine.builds()
    await builds.prune(BuildPrune())
    assert engine.events.seen[-1][:2] == ("builder", "prune")
    await builds.cancel(BuildCancel(id="unknown"))
    with pytest.raises(InvalidParameter, match="build ID not provided"):
        await builds.cancel(BuildCancel(id=""))
