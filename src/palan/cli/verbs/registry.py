"""The table of all verbs; the module of a verb is imported when the verb is called."""

from importlib import import_module
from typing import Final

from palan.cli.verbs.verb import LocalVerb, Verb


__all__ = ["GROUPS", "VERBS", "find"]

VERBS: Final[dict[str, tuple[str, str, str]]] = {
    "api": ("api", "VERB", "send any request to the engine, as with curl"),
    "attach": ("running", "ATTACH", "attach stdin and output to a running container"),
    "build": ("images", "BUILD", "build an image from a Dockerfile"),
    "commit": ("images", "COMMIT", "create a new image from a container's changes"),
    "cp": ("objects", "CP", "copy files between a container and the local filesystem"),
    "create": ("running", "CREATE", "create a container"),
    "diff": ("watching", "DIFF", "list changed files of a container"),
    "events": ("watching", "EVENTS", "get real time events from the engine"),
    "exec": ("running", "EXEC", "run a command in a running container"),
    "export": ("images", "EXPORT", "export a container's filesystem as a tar archive"),
    "history": ("images", "HISTORY", "show the history of an image"),
    "images": ("images", "IMAGES", "list images"),
    "import": ("images", "IMPORT", "import a tar archive as an image"),
    "info": ("objects", "INFO", "display system-wide information"),
    "inspect": ("objects", "INSPECT", "display detailed information on objects"),
    "login": ("login", "LOGIN", "authenticate to a registry"),
    "logout": ("login", "LOGOUT", "log out from a registry"),
    "kill": ("lifecycle", "KILL", "send a signal to containers"),
    "load": ("images", "LOAD", "load images from a tar archive"),
    "logs": ("watching", "LOGS", "fetch the logs of a container"),
    "pause": ("lifecycle", "PAUSE", "pause containers"),
    "port": ("watching", "PORT", "list port mappings of a container"),
    "ps": ("ps", "VERB", "list containers"),
    "pull": ("images", "PULL", "pull an image from a registry"),
    "push": ("images", "PUSH", "push an image to its registry"),
    "rename": ("lifecycle", "RENAME", "rename a container"),
    "restart": ("lifecycle", "RESTART", "restart containers"),
    "rm": ("lifecycle", "RM", "remove containers"),
    "rmi": ("lifecycle", "RMI", "remove images"),
    "run": ("running", "RUN", "create and run a container"),
    "save": ("images", "SAVE", "save images to a tar archive"),
    "search": ("images", "SEARCH", "search a registry"),
    "start": ("running", "START", "start containers"),
    "stats": ("watching", "STATS", "display resource usage of containers"),
    "stop": ("lifecycle", "STOP", "stop containers"),
    "tag": ("lifecycle", "TAG", "create another tag of an image"),
    "top": ("watching", "TOP", "display the processes of a container"),
    "unpause": ("lifecycle", "UNPAUSE", "unpause containers"),
    "update": ("lifecycle", "UPDATE", "update configuration of containers"),
    "version": ("version", "VERSION", "show the versions of Palan and of the engine"),
    "wait": ("lifecycle", "WAIT", "wait until containers stop, print exit codes"),
}
"""Module, attribute and summary, by name."""

GROUPS: Final[dict[str, dict[str, str]]] = {
    "builder": {"build": "build", "prune": "builder prune"},
    "container": {
        **{name: name for name in (
            "attach", "commit", "cp", "create", "diff", "exec", "export", "kill", "logs", "pause",
            "port", "rename", "restart", "rm", "run", "start", "stats", "stop", "top", "unpause",
            "update", "wait",
        )},
        "ls": "ps", "list": "ps", "ps": "ps", "inspect": "container inspect",
        "prune": "container prune",
    },
    "context": {
        name: f"context {name}"
        for name in ("create", "inspect", "ls", "list", "rm", "show", "update", "use")
    },
    "image": {
        **{name: name for name in (
            "build", "history", "import", "load", "pull", "push", "save", "tag",
        )},
        "ls": "images", "list": "images", "rm": "rmi", "inspect": "image inspect",
        "prune": "image prune",
    },
    "network": {
        name: f"network {name}"
        for name in ("connect", "create", "disconnect", "inspect", "ls", "prune", "rm")
    },
    "system": {"df": "system df", "events": "events", "info": "info", "prune": "system prune"},
    "volume": {
        name: f"volume {name}" for name in ("create", "inspect", "ls", "prune", "rm")
    },
}  # fmt: skip
"""The verbs of docker's management commands; each value is a key that :func:`find` takes."""


def find(name: str) -> Verb | LocalVerb:
    """Return the verb of a name: one of :data:`VERBS`, or ``group verb``.

    Raises:
        KeyError: no verb has that name.
    """
    if name in VERBS:
        module, attribute, _ = VERBS[name]
        found: Verb | LocalVerb = getattr(import_module(f"palan.cli.verbs.{module}"), attribute)
        return found
    group, _, verb = name.partition(" ")
    if group == "context":
        from palan.cli.verbs import context

        attribute = {"list": "LS"}.get(verb, verb.upper())
        local: LocalVerb = getattr(context, attribute)
        return local
    from palan.cli.verbs import lifecycle, objects, prune

    if verb == "inspect":
        return objects.inspect_verb(group)
    return {
        "builder prune": prune.prune_verb("build"),
        "container prune": prune.prune_verb("containers"),
        "image prune": prune.prune_verb("images", all_filter="dangling=false"),
        "network prune": prune.prune_verb("networks"),
        "volume prune": prune.prune_verb("volumes", all_filter="all=true"),
        "system df": prune.SYSTEM_DF,
        "system prune": prune.SYSTEM_PRUNE,
        "network rm": lifecycle.removal("network", lambda c: c.networks.remove, sends_force=False),
        "volume rm": lifecycle.removal("volume", lambda c: c.volumes.remove, sends_force=True),
        "network ls": objects.NETWORK_LS,
        "network create": objects.NETWORK_CREATE,
        "network connect": objects.NETWORK_CONNECT,
        "network disconnect": objects.NETWORK_DISCONNECT,
        "volume ls": objects.VOLUME_LS,
        "volume create": objects.VOLUME_CREATE,
    }[name]
