"""``GET /containers/{id}/logs``."""

from typing import TYPE_CHECKING

from palan.api.containers import ContainerLogs
from palan.api.errors import InvalidParameter, NotYetImplemented
from palan.api.results import FrameStream
from palan.engine.containers.container import Container
from palan.engine.streams.logfile import LogOptions
from palan.engine.streams.logs import LogQuery, parse_tail, read_logs
from palan.engine.timestamps import parse_time


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["logs"]


async def logs(engine: "Engine", container: Container, request: ContainerLogs) -> FrameStream:
    """What a container has written, and what it writes from now on.

    Raises:
        InvalidParameter: no stream is chosen, or a time is none.
        NotYetImplemented: the container keeps no log.
    """
    if not (request.stdout or request.stderr):
        raise InvalidParameter("must specify at least one of 'stdout' or 'stderr'")
    since = _time("since", request.since)
    until = _time("until", request.until)
    if container.record.host_config.log_config.type == "none":
        raise NotYetImplemented("configured logging driver does not support reading")
    query = LogQuery(
        LogOptions(
            tty=container.record.config.tty,
            stdout=request.stdout,
            stderr=request.stderr,
            timestamps=request.timestamps,
            details=_details(container) if request.details else None,
            since=since,
            until=until,
        ),
        tail=parse_tail(request.tail),
        follow=request.follow,
    )
    return read_logs(
        engine.paths.log(container.id),
        query,
        None if container.ended.is_set() else container.ended,
    )


def _time(name: str, text: str) -> int | None:
    try:
        return parse_time(text)
    except InvalidParameter as error:
        raise InvalidParameter(f'invalid value for "{name}": {error.message}') from None


def _details(container: Container) -> bytes:
    """What the log's options ``labels`` and ``env`` select, as dockerd prints it."""
    record = container.record
    options = record.host_config.log_config.config
    labels = record.config.labels
    pairs = [
        f"{name}={labels[name]}" for name in options.get("labels", "").split(",") if name in labels
    ]
    wanted = set(filter(None, options.get("env", "").split(",")))
    pairs += [e for e in record.config.env or [] if e.partition("=")[0] in wanted]
    return (",".join(sorted(pairs)) + " ").encode("utf-8", "surrogateescape")
