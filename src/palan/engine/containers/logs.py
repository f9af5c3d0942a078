"""``GET /containers/{id}/logs``."""

from palan.api.containers import ContainerLogs
from palan.api.errors import InvalidParameter, NotYetImplemented
from palan.api.results import FrameStream
from palan.engine.containers.container import Container
from palan.engine.containers.context import ContainerContext
from palan.engine.logdrivers.attributes import details
from palan.engine.logdrivers.settings import log_settings
from palan.engine.streams.logfile import LogOptions
from palan.engine.streams.logs import LogQuery, await_first_output, parse_tail, read_logs
from palan.engine.timestamps import parse_time


__all__ = ["logs"]


async def logs(
    context: ContainerContext, container: Container, request: ContainerLogs
) -> FrameStream:
    """Return what a container has written to its log, and follow it if that is asked for.

    Raises:
        InvalidParameter: no stream is chosen, or a time is malformed.
        NotYetImplemented: the log driver keeps no log that can be read.
    """
    if not (request.stdout or request.stderr):
        raise InvalidParameter("must specify at least one of 'stdout' or 'stderr'")
    since = _time("since", request.since)
    until = _time("until", request.until)
    if not log_settings(container.record.host_config.log_config).readable:
        raise NotYetImplemented("configured logging driver does not support reading")
    query = LogQuery(
        LogOptions(
            tty=container.record.config.tty,
            stdout=request.stdout,
            stderr=request.stderr,
            timestamps=request.timestamps,
            details=_details(context, container) if request.details else None,
            since=since,
            until=until,
        ),
        tail=parse_tail(request.tail),
        follow=request.follow,
    )
    path = context.paths.log(container.id)
    if not request.follow:
        await await_first_output(path, container.record.started, container.ended)
    return read_logs(
        path,
        query,
        None if container.ended.is_set() else container.ended,
    )


def _time(name: str, text: str) -> int | None:
    try:
        return parse_time(text)
    except InvalidParameter as error:
        raise InvalidParameter(f'invalid value for "{name}": {error.message}') from None


def _details(context: ContainerContext, container: Container) -> bytes:
    return details(
        container.record,
        hostname=context.machine.facts.hostname,
        path=str(context.paths.log(container.id)),
    )
