# Made of _async/calls/plugins.py by scripts/client_sync.py: change that, and run this.
# Made by scripts/client_calls.py of palan/api/plugins.py: change that.
"""Plugins: a method for each endpoint of the group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palan.client._limits import CLIENT, Limit
from palan.client._sync.streams import ProgressStream


if TYPE_CHECKING:
    import builtins

    from palan.api._plugin_types import Plugin, PluginPrivilege
    from palan.api.system import AuthConfig
    from palan.client._request import Filters
    from palan.client._sync.client import Client
    from palan.client._sync.io import Body

__all__ = ["PluginsCalls"]


class PluginsCalls:
    """Drivers that run in containers of their own."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def list(
        self, *, filters: Filters | None = None, timeout: Limit = CLIENT
    ) -> builtins.list[Plugin]:
        """List installed plugins.

        Filters: capability, enabled.

        Endpoint: ``GET /plugins``.

        Args:
            filters: Docker's ``filters``.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            One for each: an installed plugin.
        """
        answer: builtins.list[Plugin] = self._client.calling.call(
            "plugins.list", {"filters": filters}, timeout
        )
        return answer

    def privileges(
        self, remote: str, *, registry_auth: AuthConfig | str | None = None, timeout: Limit = CLIENT
    ) -> builtins.list[PluginPrivilege]:
        """Tell what a plugin wants to be allowed, before it is installed.

        Endpoint: ``GET /plugins/privileges``.

        Args:
            remote: a reference to the plugin in its registry.
            registry_auth: credentials; None takes those of ``config.json``, ``""`` sends
                none.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            One for each: something that a plugin must be allowed before it is installed.
        """
        answer: builtins.list[PluginPrivilege] = self._client.calling.call(
            "plugins.privileges", {"remote": remote, "registry_auth": registry_auth}, timeout
        )
        return answer

    def pull(
        self,
        remote: str,
        *,
        name: str = "",
        body: builtins.list[PluginPrivilege] | None = None,
        registry_auth: AuthConfig | str | None = None,
        timeout: float | None = None,
    ) -> ProgressStream:
        """Install a plugin from a registry; it is not enabled yet.

        Endpoint: ``POST /plugins/pull``.

        Args:
            remote: a reference to the plugin in its registry.
            name: the name to give it here; empty is ``remote``.
            body: what it is allowed, which must be all that it wants.
            registry_auth: credentials; None takes those of ``config.json``, ``""`` sends
                none.
            timeout: seconds to wait for each piece; None is for ever.

        Returns:
            The progress; ``wait()`` sees it through.

        Raises:
            NotFound: there is no such object.
            Conflict: it is in a state that forbids this.
        """
        return ProgressStream(
            self._client,
            self._client.calling.prepare(
                "plugins.pull",
                {"remote": remote, "name": name, "body": body, "registry_auth": registry_auth},
            ),
            timeout,
        )

    def inspect(self, name: str, *, timeout: Limit = CLIENT) -> Plugin:
        """Inspect a plugin.

        Endpoint: ``GET /plugins/{name...}/json``.

        Args:
            name: which one: a name, an id, or the beginning of an id.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            An installed plugin.

        Raises:
            NotFound: there is no such object.
        """
        answer: Plugin = self._client.calling.call("plugins.inspect", {"name": name}, timeout)
        return answer

    def remove(self, name: str, *, force: bool = False, timeout: Limit = CLIENT) -> None:
        """Remove a plugin.

        Endpoint: ``DELETE /plugins/{name...}``.

        Args:
            name: which one: a name, an id, or the beginning of an id.
            force: also when it is enabled.
            timeout: seconds for the whole call; None is for ever.

        Raises:
            NotFound: there is no such object.
            Conflict: it is in a state that forbids this.
        """
        self._client.calling.call("plugins.remove", {"name": name, "force": force}, timeout)

    def enable(self, name: str, timeout: int) -> None:
        """Start a plugin.

        Endpoint: ``POST /plugins/{name...}/enable``.

        Args:
            name: which one: a name, an id, or the beginning of an id.
            timeout: seconds to wait for its socket; clients must give it, 0 is the engine's
                default.

        Raises:
            NotFound: there is no such object.
            Conflict: it is in a state that forbids this.
        """
        self._client.calling.call("plugins.enable", {"name": name, "timeout": timeout}, CLIENT)

    def disable(self, name: str, *, force: bool = False, timeout: Limit = CLIENT) -> None:
        """Stop a plugin.

        Endpoint: ``POST /plugins/{name...}/disable``.

        Args:
            name: which one: a name, an id, or the beginning of an id.
            force: also when something uses it.
            timeout: seconds for the whole call; None is for ever.

        Raises:
            NotFound: there is no such object.
            Conflict: it is in a state that forbids this.
        """
        self._client.calling.call("plugins.disable", {"name": name, "force": force}, timeout)

    def upgrade(
        self,
        name: str,
        remote: str,
        *,
        body: builtins.list[PluginPrivilege] | None = None,
        registry_auth: AuthConfig | str | None = None,
        timeout: float | None = None,
    ) -> ProgressStream:
        """Replace a disabled plugin by another version; its settings stay.

        Endpoint: ``POST /plugins/{name...}/upgrade``, since 1.26.

        Args:
            name: which one: a name, an id, or the beginning of an id.
            remote: a reference to the new version in its registry.
            body: what it is allowed, which must be all that it wants.
            registry_auth: credentials; None takes those of ``config.json``, ``""`` sends
                none.
            timeout: seconds to wait for each piece; None is for ever.

        Returns:
            The progress; ``wait()`` sees it through.

        Raises:
            NotFound: there is no such object.
            Conflict: it is in a state that forbids this.
        """
        return ProgressStream(
            self._client,
            self._client.calling.prepare(
                "plugins.upgrade",
                {"name": name, "remote": remote, "body": body, "registry_auth": registry_auth},
            ),
            timeout,
        )

    def create(self, name: str, body: Body, *, timeout: Limit = CLIENT) -> None:
        """Make a plugin from a tar archive of its ``config.json`` and ``rootfs``.

        Endpoint: ``POST /plugins/create``.

        Args:
            name: which one: a name, an id, or the beginning of an id.
            body: Docker's ``body``.
            timeout: seconds for the whole call; None is for ever.

        Raises:
            Conflict: it is in a state that forbids this.
        """
        self._client.calling.call("plugins.create", {"name": name, "body": body}, timeout)

    def push(
        self,
        name: str,
        *,
        registry_auth: AuthConfig | str | None = None,
        timeout: float | None = None,
    ) -> ProgressStream:
        """Push a plugin to its registry.

        Endpoint: ``POST /plugins/{name...}/push``.

        Args:
            name: which one: a name, an id, or the beginning of an id.
            registry_auth: credentials; None takes those of ``config.json``, ``""`` sends
                none.
            timeout: seconds to wait for each piece; None is for ever.

        Returns:
            The progress; ``wait()`` sees it through.

        Raises:
            NotFound: there is no such object.
        """
        return ProgressStream(
            self._client,
            self._client.calling.prepare(
                "plugins.push", {"name": name, "registry_auth": registry_auth}
            ),
            timeout,
        )

    def set(
        self, name: str, *, body: builtins.list[str] | None = None, timeout: Limit = CLIENT
    ) -> None:
        """Change a disabled plugin's settings.

        Endpoint: ``POST /plugins/{name...}/set``.

        Args:
            name: which one: a name, an id, or the beginning of an id.
            body: ``NAME=value`` for a variable, ``name.field=value`` for a mount or a device.
            timeout: seconds for the whole call; None is for ever.

        Raises:
            NotFound: there is no such object.
        """
        self._client.calling.call("plugins.set", {"name": name, "body": body}, timeout)
