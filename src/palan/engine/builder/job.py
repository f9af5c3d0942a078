"""The state that the parts of one build share."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from palan.engine.builder.build_context import BuildContext
from palan.engine.builder.options import Options
from palan.engine.builder.output import Output
from palan.engine.builder.selection import Picked
from palan.engine.builder.surroundings import BuilderImages, StepContainers
from palan.engine.images.catalog import Lease, Report
from palan.engine.images.context import ImageContext


__all__ = ["Job"]


@dataclass(frozen=True, slots=True)
class Job:
    """One build.

    Attributes:
        images: the engine's images.
        containers: creates the containers of steps.
        view: the directory on which threads mount layers.
        options: the client's request.
        output: sends lines to the client.
        context: the files to copy; None for a build without any.
        lease: keeps the content that the build needs.
        held: keeps images from removal until the build ends.
        made: publishes the event of an image that a step makes.
        known: the files that sources of ``COPY --from`` mean, by image id and source.
    """

    images: BuilderImages
    containers: StepContainers
    view: Path
    options: Options
    output: Output
    context: BuildContext | None
    lease: Lease
    held: contextlib.ExitStack
    made: Report
    known: dict[tuple[str, str], list[Picked]]

    @property
    def image_context(self) -> ImageContext:
        """The catalog and the unpacker of the images."""
        return self.images.context

    def scratch(self) -> contextlib.AbstractContextManager[Path]:
        """Make a directory for temporary files, which is removed when the context ends."""
        return self.images.context.unpacker.scratch()
