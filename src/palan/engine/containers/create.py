"""``POST /containers/create``.

The request is checked before anything is created.  Then the name is reserved, the volumes and
the directory are created, and the row is written; only then does the container exist.  The next
start of the engine removes what a crash leaves of the steps before.
"""

import asyncio
import contextlib
import secrets
import time
from pathlib import Path

import msgspec

from palan.api import UNSET
from palan.api.containers import (
    ContainerConfig,
    ContainerCreate,
    ContainerCreateBody,
    ContainerCreateResponse,
    EndpointSettings,
    HostConfig,
    NetworkingConfig,
)
from palan.api.errors import InvalidParameter, NotFound
from palan.engine.containers.adapt import Defaults, adapt_host_config, default_hostname
from palan.engine.containers.container import Container
from palan.engine.containers.context import ContainerContext
from palan.engine.containers.create_facts import create_facts
from palan.engine.containers.device_requests import check_device_requests
from palan.engine.containers.links import resolve_links
from palan.engine.containers.merge import command_line, merge_config
from palan.engine.containers.mounts import hold_inherited, make_mounts, plan_mounts
from palan.engine.containers.naming import check_name, generate_id, generate_name
from palan.engine.containers.record import ContainerRecord
from palan.engine.containers.validate import validate_create
from palan.engine.containers.working_directory import make_working_directory
from palan.engine.images.image import Image
from palan.engine.images.platform import foreign_platform, parse_specifier
from palan.host.filesystem import remove_tree


__all__ = ["create", "undo_create"]


async def create(
    context: ContainerContext, request: ContainerCreate, *, step: bool = False
) -> ContainerCreateResponse:
    """Create a container.

    Args:
        context: the context of the room.
        request: the request.
        step: whether it runs a step of a build; the next start of the engine removes it then.

    Raises:
        InvalidParameter: the request is invalid.
        NotFound: an image, network, volume driver or container that it names does not exist.
        Conflict: the name is in use.
    """
    body = request.body
    if body == ContainerCreateBody():
        raise InvalidParameter("config cannot be empty in order to create a container")
    if request.name:
        check_name(request.name)
    host_config = body.host_config or HostConfig()
    networking = body.networking_config
    config = _config(body)
    # Since 1.52 an address belongs to an endpoint; older requests were converted.
    config.mac_address = UNSET
    warnings = validate_create(config, host_config, networking, create_facts(context))
    if host_config.device_requests:
        await asyncio.to_thread(
            check_device_requests, host_config.device_requests, context.machine.cdi
        )
    image = context.images.resolve(config.image)
    if request.platform:
        image = _image_for(context, config.image, request.platform)
    else:
        warnings += foreign_platform(image.platform)
    config = merge_config(config, _image_config(image))
    adapt_host_config(host_config, _defaults(context))
    _check_references(context, host_config)

    container_id = generate_id()
    registry = context.registry
    name = request.name.removeprefix("/") or generate_name(
        lambda n: not registry.is_free(n), container_id
    )
    config.hostname = default_hostname(
        config, host_config, container_id, context.machine.facts.hostname
    )
    registry.reserve(name, container_id)
    try:
        # Held, so that a removal of the image does not remove its layers meanwhile.
        with context.images.hold(image):
            await _create(
                context,
                container_id,
                name,
                image,
                config,
                host_config,
                networking=networking,
                step=step,
            )
    except BaseException:
        registry.release(name)
        raise
    return ContainerCreateResponse(id=container_id, warnings=warnings)


def _config(body: ContainerCreateBody) -> ContainerConfig:
    return ContainerConfig(**{
        field.name: getattr(body, field.name) for field in msgspec.structs.fields(ContainerConfig)
    })  # fmt: skip


def _image_config(image: Image) -> ContainerConfig:
    """Return the image's configuration as one of a container."""
    known = {field.name for field in msgspec.structs.fields(ContainerConfig)}
    config = image.config
    return ContainerConfig(**{
        name: getattr(config, name) for name in config.__struct_fields__ if name in known
    })  # fmt: skip


def _image_for(context: ContainerContext, reference: str, platform: str) -> Image:
    """Return the image for the requested platform.

    Raises:
        InvalidParameter: the platform is malformed.
        NotFound: the image does not exist for that platform.
    """
    return context.images.for_platform(reference, parse_specifier(platform))


def _defaults(context: ContainerContext) -> Defaults:
    config = context.config
    return Defaults(
        runtime=context.runtimes.default,
        unified=context.machine.host.unified,
        shm_size=config.default_shm_size,
        ipc_mode=config.default_ipc_mode,
        cgroupns_mode=config.default_cgroupns_mode,
        network_mode="none" if config.bridge == "none" else "bridge",
        log_driver=config.log_driver,
        log_options=dict(config.log_opts),
    )


def _check_references(context: ContainerContext, host_config: HostConfig) -> None:
    """Check that containers whose namespaces are joined exist, and replace names by ids."""
    for field in ("ipc_mode", "pid_mode"):
        mode: str = getattr(host_config, field)
        if mode.startswith("container:"):
            try:
                other = context.registry.get(mode.removeprefix("container:"))
            except NotFound as error:
                raise InvalidParameter(error.message) from None
            setattr(host_config, field, f"container:{other.id}")
    mode = host_config.network_mode
    if mode.startswith("container:"):
        found = context.registry.find(mode.removeprefix("container:"))
        if found is not None:
            host_config.network_mode = f"container:{found.id}"


async def _create(  # noqa: PLR0917 - the parts of a record
    context: ContainerContext,
    container_id: str,
    name: str,
    image: Image,
    config: ContainerConfig,
    host_config: HostConfig,
    *,
    networking: NetworkingConfig | None,
    step: bool,
) -> None:
    """Create a container, and undo everything if that fails."""
    layers = [str(layer) for layer in image.layers]
    directory = context.paths.container(container_id)
    plan = plan_mounts(context, config, host_config)
    path, args = command_line(config)
    record = ContainerRecord(
        id=container_id,
        name=name,
        created=time.time_ns(),
        image=image.id,
        config=config,
        host_config=host_config,
        endpoints={} if config.network_disabled else _endpoints(context, host_config, networking),
        layers=layers,
        links=resolve_links(context, host_config),
        runtime=context.runtimes.resolve(host_config.runtime),
        anonymous_volumes=plan.anonymous,
        path=path,
        args=args,
        step=step,
    )
    hold_inherited(context, container_id, plan)
    held = contextlib.ExitStack()
    try:
        for mounted in plan.images.values():
            held.enter_context(context.images.hold(mounted))
        if plan.anonymous:
            # Only this row says what the volumes are for: the next start removes a draft.
            record.draft = True
            await context.save_record(record)
        record.mounts = await make_mounts(context, container_id, plan, layers)
        # It gets its final name when it is complete; the sweep removes others at start.
        draft = context.paths.tmp / f"create-{secrets.token_hex(8)}"
        for part in (draft, draft / "diff", draft / "work"):
            part.mkdir(mode=0o710 if part == draft else 0o755)
        below = [*(Path(layer) for layer in reversed(layers)), context.paths.stubs]
        try:
            await make_working_directory(context, image.id, config.working_dir, below, draft)
        except BaseException:
            await asyncio.to_thread(remove_tree, draft)
            raise
        draft.rename(directory)
        record.draft = False
        container = Container(record)
        # A client that receives the event must find the container.
        context.registry.add(container)
        context.events.publish("container", "create", container_id, container.attributes)
        await context.save_record(record)
    except BaseException:
        await undo_create(context, record)
        raise
    finally:
        held.close()


async def undo_create(context: ContainerContext, record: ContainerRecord) -> None:
    """Undo the creation of a container, as far as it was done."""
    if container := context.registry.find(record.id):
        context.registry.discard(container)
        container.streams.ended()
    context.volumes.release(record.id)
    for volume in record.anonymous_volumes:
        await context.volumes.remove_anonymous(volume)
    await asyncio.to_thread(remove_tree, context.paths.container(record.id))
    if record.anonymous_volumes:
        await context.delete(record)


def _endpoints(
    context: ContainerContext, host_config: HostConfig, networking: NetworkingConfig | None
) -> dict[str, EndpointSettings]:
    """Return the settings of each endpoint, by network; at least one for ``NetworkMode``.

    Existing networks are given by name, whether the request has their names or ids.

    Raises:
        InvalidParameter: a network is given twice, or two networks exclude each other.
    """
    mode = host_config.network_mode
    if mode.startswith("container:"):
        return {}
    main = context.networks.find(mode)
    if main is not None and mode not in (main.name, main.id):
        host_config.network_mode = main.id
    asked = (networking.endpoints_config if networking else None) or {}
    found: dict[str, EndpointSettings] = {}
    for reference, settings in asked.items():
        name = _network_name(context, reference)
        if name in found:
            raise InvalidParameter(f"invalid config for network {reference}: {name} is there twice")
        found[name] = settings or EndpointSettings()
    name = main.name if main is not None else mode
    if not found or name in found:
        # The main network is the first.
        found = {name: found.pop(name, EndpointSettings()), **found}
    names = [mode] if mode == "host" else []
    for other, settings in found.items():
        network = context.networks.find(other)
        settings.network_id = ""
        if network is not None:
            context.networks.check_compatible(mode, names, network)
            settings.network_id = network.id
        names.append(other)
    return found


def _network_name(context: ContainerContext, reference: str) -> str:
    network = context.networks.find(reference)
    return network.name if network is not None else reference
