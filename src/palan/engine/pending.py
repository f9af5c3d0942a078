"""Operations of the contract that this engine does not have yet: the server answers 501.

Those that need a swarm answer 503, as dockerd does outside of one (``engine/swarm``).

A test compares this list with what the rooms implement; it may only shrink.
"""

__all__ = ["PENDING"]

PENDING = frozenset(
    {
        "build.grpc",
        "build.session",
        "configs.create",
        "configs.inspect",
        "configs.list",
        "configs.remove",
        "configs.update",
        "nodes.inspect",
        "nodes.list",
        "nodes.remove",
        "nodes.update",
        "plugins.create",
        "plugins.disable",
        "plugins.enable",
        "plugins.privileges",
        "plugins.pull",
        "plugins.push",
        "plugins.remove",
        "plugins.set",
        "plugins.upgrade",
        "secrets.create",
        "secrets.inspect",
        "secrets.list",
        "secrets.remove",
        "secrets.update",
        "services.create",
        "services.inspect",
        "services.list",
        "services.logs",
        "services.remove",
        "services.update",
        "swarm.init",
        "swarm.inspect",
        "swarm.join",
        "swarm.leave",
        "swarm.unlock",
        "swarm.unlock_key",
        "swarm.update",
        "tasks.inspect",
        "tasks.list",
        "tasks.logs",
    }
)
