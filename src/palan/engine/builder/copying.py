"""``COPY`` and ``ADD``: copied files become a layer, without a container."""

import contextlib
import os
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from palan.api.errors import InternalError, InvalidParameter, PalanError
from palan.dockerfile import Add, Copy
from palan.engine.builder.build_context import BuildContext
from palan.engine.builder.checksums import Checksums
from palan.engine.builder.copy_target import CopyTarget
from palan.engine.builder.heredocs import is_heredoc, write_text
from palan.engine.builder.job import Job
from palan.engine.builder.selection import Picked, combined_checksum, pick
from palan.engine.builder.stages import Stages
from palan.engine.builder.state import State
from palan.engine.builder.steps import Base
from palan.engine.images.layer_stream import NewLayer, copy_layer
from palan.engine.threads import in_thread
from palan.host.archive.headers import ArchiveError
from palan.host.layerview import Layers, mounted_layers
from palan.host.namespaces import run_in_thread


__all__ = ["Plan", "copy_files", "plan_copy", "writable", "written_layer"]

_NEEDS_BUILDKIT: Final = (
    "the --{} option requires BuildKit. Refer to https://docs.docker.com/go/buildkit/ to learn"
    " how to build images with BuildKit enabled"
)


_UPPER: Final = "diff"
"""The upper directory of the overlay, within a step's temporary directory."""


@dataclass(slots=True)
class Plan:
    """The files to copy, and their destination.

    Attributes:
        description: the instruction, as the image's history shows it.
        target: the destination.
        image: the image to copy from; None if all sources are in directories.
        sources: the files, each with the root of its tree; None for the tree of the image.
    """

    description: str
    target: CopyTarget
    image: Base | None = None
    sources: list[tuple[Path | None, Picked]] = field(default_factory=list)


# ---- finding the files ------------------------------------------------------------------


def _refuse_options(step: Add | Copy) -> None:
    names: dict[str, object] = {"chmod": step.chmod, "exclude": step.exclude}
    if isinstance(step, Add):
        names |= {"checksum": step.checksum, "keep-git-dir": step.keep_git_dir}
        names |= {"unpack": step.unpack is not None}
    else:
        names |= {"parents": step.parents}
    for name, given in names.items():
        if given:
            raise InvalidParameter(_NEEDS_BUILDKIT.format(name))


async def plan_copy(
    job: Job, stages: Stages, state: State, step: Add | Copy, scratch: Path
) -> Plan:
    """Find the files that an instruction copies.

    Args:
        job: the build.
        stages: the finished stages, which ``--from`` may name.
        state: the stage.
        step: the instruction.
        scratch: a directory for downloads.

    Raises:
        InvalidParameter: it can't be done; in dockerd's words.
    """
    _refuse_options(step)
    expand = state.expander()
    sources = [each if is_heredoc(each, step.files) else expand(each) for each in step.sources]
    destination, chown = expand(step.destination), expand(step.chown)
    name = "ADD" if isinstance(step, Add) else "COPY"
    image = await _image_of(stages, step) if isinstance(step, Copy) and step.from_ else None
    try:
        found = await _find(job, state, step, sources, image, destination, scratch)
    except PalanError as error:
        raise InvalidParameter(f"{name} failed: {error.message}") from None
    if not found:
        raise InvalidParameter(f"{name} failed: no source files were specified")
    if len(found) > 1 and not destination.endswith("/"):
        raise InvalidParameter(
            f"When using {name} with more than one source file, the destination must be a"
            " directory and end with a /"
        )
    option = f"--chown={chown} " if chown else ""
    target = CopyTarget(
        _absolute(state.config.working_dir, destination),
        chown,
        keep_owners=image is not None and not chown,
        unpack=isinstance(step, Add),
    )
    description = (
        f"{name} {option}{combined_checksum([picked for _, picked in found])} in {destination} "
    )
    return Plan(description, target, image, found)


def _absolute(directory: str, path: str) -> str:
    if path.startswith("/"):
        return path
    joined = posixpath.normpath(posixpath.join("/", directory, path))
    return f"{joined.rstrip('/')}/" if path.endswith("/") else joined


async def _image_of(stages: Stages, step: Copy) -> Base:
    try:
        return await stages.find(step.from_)
    except PalanError as error:
        raise InvalidParameter(f"invalid from flag value {step.from_}: {error.message}") from None


async def _find(  # noqa: PLR0917 - all places where files may be
    job: Job,
    state: State,
    step: Add | Copy,
    sources: Sequence[str],
    image: Base | None,
    destination: str,
    scratch: Path,
) -> list[tuple[Path | None, Picked]]:
    found: list[tuple[Path | None, Picked]] = []
    texts = iter(step.files)
    for number, source in enumerate(sources):
        if is_heredoc(source, step.files):
            place, text = scratch / f"text-{number}", next(texts)
            found.append((place, await in_thread(partial(write_text, text, state, place))))
        elif source.startswith(("http://", "https://")):
            if isinstance(step, Copy):
                raise InvalidParameter("source can't be a URL for COPY")
            from palan.engine.builder.downloading import download  # noqa: PLC0415 - rarely needed

            place = scratch / f"download-{number}"
            picked = await download(source, place, destination, job.output)
            found.append((place, picked))
        elif image is not None:
            matches = await _of_image(job, image, source)
            found += ((None, picked) for picked in matches)
        else:
            context = job.context
            if context is None:
                raise InvalidParameter("missing build context")
            matches = await in_thread(partial(_of_context, context, source))
            found += ((context.root, picked) for picked in matches)
    return found


def _of_context(context: BuildContext, source: str) -> list[Picked]:
    with context.opened() as root:
        return pick(root, context.sums(root), source, context=True)


async def _of_image(job: Job, image: Base, source: str) -> list[Picked]:
    """Return the files that a source means in an image; each is looked for once.

    Raises:
        InvalidParameter: no file matches.
    """
    key = (image.id, source)
    if key not in job.known:
        with job.scratch() as scratch:
            layers = Layers(lowers_of(image, scratch))
            job.known[key] = await in_thread(lambda: _of_layers(job.view, layers, source))
    return job.known[key]


def _of_layers(view: Path, layers: Layers, source: str) -> list[Picked]:
    def look() -> list[Picked]:
        with mounted_layers(view, layers) as (tree,):
            root = os.open(tree, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                return pick(root, Checksums(root), source, context=False)
            finally:
                os.close(root)

    return run_in_thread(look)


# ---- copying -----------------------------------------------------------------------


def lowers_of(base: Base, scratch: Path) -> list[Path]:
    """Return the layers of an image, the topmost first; without any, an empty directory."""
    if base.image is not None and base.image.layers:
        return list(reversed(base.image.layers))
    empty = scratch / "empty"
    empty.mkdir(exist_ok=True)
    return [empty]


async def copy_files(job: Job, base: Base, plan: Plan, scratch: Path) -> NewLayer:
    """Copy files into an image, and return the layer that results.

    Args:
        job: the build.
        base: the image to copy into.
        plan: the files and their destination.
        scratch: an empty directory.

    Raises:
        InvalidParameter: it can't be done.
        InternalError: the file system refuses.
    """

    def copy() -> None:
        trees = [writable(base, scratch)]
        if plan.image is not None:
            trees.append(Layers(lowers_of(plan.image, scratch)))
        run_in_thread(lambda: _copy(job.view, plan, trees))

    try:
        await in_thread(copy, plan.target.abort)
    except ArchiveError as error:
        raise InvalidParameter(f"failed to copy files: {error}") from None
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        reason = str(error.strerror or error).lower()
        raise InternalError(f"failed to copy files:{where}: {reason}") from None
    return await written_layer(job, base, scratch)


def writable(base: Base, scratch: Path) -> Layers:
    """Return the layers of an image below an empty one, which is made in ``scratch``."""
    upper, work = scratch / _UPPER, scratch / "work"
    for directory in (upper, work):
        directory.mkdir()
        directory.chmod(0o755)
    return Layers(lowers_of(base, scratch), upper, work)


async def written_layer(job: Job, base: Base, scratch: Path) -> NewLayer:
    """Return what was written into :func:`writable` layers, as a layer upon the image."""
    context = job.image_context
    return await copy_layer(
        context.catalog,
        context.unpacker,
        scratch / _UPPER,
        scratch,
        job.lease,
        lower=base.diff_ids,
        still=True,
    )


def _copy(view: Path, plan: Plan, trees: Sequence[Layers]) -> None:
    with contextlib.ExitStack() as stack:
        roots = stack.enter_context(mounted_layers(view, *trees))
        plan.target.run(roots[0], [(tree or roots[-1], picked) for tree, picked in plan.sources])
