# Made of _async/calls/images.py by scripts/client_sync.py: change that, and run this.
# Made by scripts/client_calls.py of palan/api/images.py: change that.
"""Images: a method for each endpoint of the group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from palan.client._limits import CLIENT, Limit
from palan.client._sync.streams import ByteStream, ProgressStream


if TYPE_CHECKING:
    import builtins

    from palan.api._common import IDResponse
    from palan.api._container_config import HealthConfig
    from palan.api._image_messages import (
        AttestationStatement,
        DistributionInspect,
        ImageDeleteResponseItem,
        ImageHistoryResponseItem,
        ImageInspectResponse,
        ImagePruneResponse,
        ImageSearchResult,
        ImageSummary,
    )
    from palan.api.system import AuthConfig
    from palan.client._request import Filters
    from palan.client._sync.client import Client
    from palan.client._sync.io import Body

__all__ = ["ImagesCalls"]


class ImagesCalls:
    """Images: their content, names and transport."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def list(
        self,
        *,
        all: bool = False,
        filters: Filters | None = None,
        shared_size: bool = False,
        digests: bool = False,
        manifests: bool = False,
        identity: bool = False,
        timeout: Limit = CLIENT,
    ) -> builtins.list[ImageSummary]:
        """List images.

        Filters: before, dangling, label, reference, since, until.

        Endpoint: ``GET /images/json``.

        Args:
            all: also those that only others are built upon.
            filters: Docker's ``filters``.
            shared_size: also measure what they share.
            digests: without effect: digests are always told.
            manifests: also tell about every manifest.
            identity: with ``manifests``: also tell where they come from.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            One for each: an image in a list.
        """
        answer: builtins.list[ImageSummary] = self._client.calling.call(
            "images.list",
            {
                "all": all,
                "filters": filters,
                "shared_size": shared_size,
                "digests": digests,
                "manifests": manifests,
                "identity": identity,
            },
            timeout,
        )
        return answer

    def create(
        self,
        *,
        body: Body | None = None,
        from_image: str = "",
        from_src: str = "",
        repo: str = "",
        tag: str = "",
        message: str = "",
        changes: builtins.list[str] | None = None,
        platform: str = "",
        registry_auth: AuthConfig | str | None = None,
        timeout: float | None = None,
    ) -> ProgressStream:
        """Pull an image from a registry, or import a root filesystem.

        Endpoint: ``POST /images/create``.

        Args:
            body: the archive to import, when ``from_src`` is ``-``.
            from_image: what to pull.
            from_src: what to import: an URL, or ``-`` for the body.
            repo: the name of what is imported.
            tag: a tag or digest; when pulling, empty means all tags.
            message: the comment of what is imported.
            changes: instructions of a Dockerfile for what is imported, several lines each.
            platform: ``os[/arch[/variant]]``.
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
                "images.create",
                {
                    "body": body,
                    "from_image": from_image,
                    "from_src": from_src,
                    "repo": repo,
                    "tag": tag,
                    "message": message,
                    "changes": changes,
                    "platform": platform,
                    "registry_auth": registry_auth,
                },
            ),
            timeout,
        )

    def inspect(
        self, name: str, *, manifests: bool = False, platform: str = "", timeout: Limit = CLIENT
    ) -> ImageInspectResponse:
        """Tell all that is known about an image.

        Endpoint: ``GET /images/{name...}/json``.

        Args:
            name: which one: a name, an id, or the beginning of an id.
            manifests: also tell about every manifest; not together with ``platform``.
            platform: an OCI platform as JSON; empty is what this machine would run.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            All that is known about an image (ImageInspect in Docker's description).

        Raises:
            NotFound: there is no such object.
        """
        answer: ImageInspectResponse = self._client.calling.call(
            "images.inspect", {"name": name, "manifests": manifests, "platform": platform}, timeout
        )
        return answer

    def attestations(
        self,
        name: str,
        *,
        platform: builtins.list[str] | None = None,
        type: builtins.list[str] | None = None,
        statement: bool = False,
        timeout: Limit = CLIENT,
    ) -> builtins.list[AttestationStatement]:
        """List the statements about an image that came with it.

        Endpoint: ``GET /images/{name...}/attestations``, since 1.55.

        Args:
            name: which one: a name, an id, or the beginning of an id.
            platform: OCI platforms as JSON; none is what this machine would run.
            type: types of predicates; none is all.
            statement: also answer the documents.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            One for each: a statement about an image, such as its bill of materials (in-toto).

        Raises:
            NotFound: there is no such object.
            NotYetImplemented: this engine does not have it.
        """
        answer: builtins.list[AttestationStatement] = self._client.calling.call(
            "images.attestations",
            {"name": name, "platform": platform, "type": type, "statement": statement},
            timeout,
        )
        return answer

    def history(
        self, name: str, *, platform: str = "", timeout: Limit = CLIENT
    ) -> builtins.list[ImageHistoryResponseItem]:
        """List the steps that an image was made by.

        Endpoint: ``GET /images/{name...}/history``.

        Args:
            name: which one: a name, an id, or the beginning of an id.
            platform: an OCI platform as JSON; empty is what this machine would run.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            One for each: one step that an image was made by, the last first.

        Raises:
            NotFound: there is no such object.
        """
        answer: builtins.list[ImageHistoryResponseItem] = self._client.calling.call(
            "images.history", {"name": name, "platform": platform}, timeout
        )
        return answer

    def push(
        self,
        name: str,
        *,
        tag: str = "",
        platform: str = "",
        registry_auth: AuthConfig | str | None = None,
        timeout: float | None = None,
    ) -> ProgressStream:
        """Push an image to its registry.

        Endpoint: ``POST /images/{name...}/push``.

        Args:
            name: the repository; its first part says which registry.
            tag: empty means all tags.
            platform: an OCI platform as JSON; empty is all that is here.
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
                "images.push",
                {"name": name, "tag": tag, "platform": platform, "registry_auth": registry_auth},
            ),
            timeout,
        )

    def tag(self, name: str, *, repo: str = "", tag: str = "", timeout: Limit = CLIENT) -> None:
        """Give an image one more name.

        Endpoint: ``POST /images/{name...}/tag``.

        Args:
            name: which one: a name, an id, or the beginning of an id.
            repo: Docker's ``repo``.
            tag: empty means ``latest``.
            timeout: seconds for the whole call; None is for ever.

        Raises:
            NotFound: there is no such object.
            Conflict: it is in a state that forbids this.
        """
        self._client.calling.call("images.tag", {"name": name, "repo": repo, "tag": tag}, timeout)

    def remove(
        self,
        name: str,
        *,
        force: bool = False,
        noprune: bool = False,
        platforms: builtins.list[str] | None = None,
        timeout: Limit = CLIENT,
    ) -> builtins.list[ImageDeleteResponseItem]:
        """Remove a name of an image, and with its last name the image.

        Endpoint: ``DELETE /images/{name...}``.

        Args:
            name: which one: a name, an id, or the beginning of an id.
            force: even if it has several names or stopped containers use it.
            noprune: leave the unnamed images that it was built upon.
            platforms: OCI platforms as JSON; none is all.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            One for each: one thing that removing an image did.

        Raises:
            NotFound: there is no such object.
            Conflict: it is in a state that forbids this.
        """
        answer: builtins.list[ImageDeleteResponseItem] = self._client.calling.call(
            "images.remove",
            {"name": name, "force": force, "noprune": noprune, "platforms": platforms},
            timeout,
        )
        return answer

    def search(
        self,
        term: str,
        *,
        limit: int | None = None,
        filters: Filters | None = None,
        registry_auth: AuthConfig | str | None = None,
        timeout: Limit = CLIENT,
    ) -> builtins.list[ImageSearchResult]:
        """Search a registry for repositories.

        Filters: is-automated, is-official, stars.

        Endpoint: ``GET /images/search``.

        Args:
            term: Docker's ``term``.
            limit: at most so many, up to 100; None is 25.
            filters: Docker's ``filters``.
            registry_auth: credentials; None takes those of ``config.json``, ``""`` sends
                none.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            One for each: a repository that a search found.
        """
        answer: builtins.list[ImageSearchResult] = self._client.calling.call(
            "images.search",
            {"term": term, "limit": limit, "filters": filters, "registry_auth": registry_auth},
            timeout,
        )
        return answer

    def prune(
        self, *, filters: Filters | None = None, timeout: Limit = CLIENT
    ) -> ImagePruneResponse:
        """Remove images that nothing uses.

        Filters: dangling (true: only those without a name), label, until.

        Endpoint: ``POST /images/prune``, since 1.25.

        Args:
            filters: Docker's ``filters``.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            The images that were removed.

        Raises:
            Conflict: it is in a state that forbids this.
        """
        answer: ImagePruneResponse = self._client.calling.call(
            "images.prune", {"filters": filters}, timeout
        )
        return answer

    def commit(
        self,
        *,
        container: str = "",
        repo: str = "",
        tag: str = "",
        comment: str = "",
        author: str = "",
        pause: bool = True,
        changes: builtins.list[str] | None = None,
        hostname: str = "",
        domainname: str = "",
        user: str = "",
        attach_stdin: bool = False,
        attach_stdout: bool = False,
        attach_stderr: bool = False,
        exposed_ports: dict[str, dict[str, Any]] | None = None,
        tty: bool = False,
        open_stdin: bool = False,
        stdin_once: bool = False,
        env: builtins.list[str] | None = None,
        cmd: builtins.list[str] | None = None,
        healthcheck: HealthConfig | None = None,
        args_escaped: bool | None = None,
        image: str = "",
        volumes: dict[str, dict[str, Any]] | None = None,
        working_dir: str = "",
        entrypoint: builtins.list[str] | None = None,
        network_disabled: bool | None = None,
        mac_address: str | None = None,
        on_build: builtins.list[str] | None = None,
        labels: dict[str, str] | None = None,
        stop_signal: str | None = None,
        stop_timeout: int | None = None,
        shell: builtins.list[str] | None = None,
        timeout: Limit = CLIENT,
    ) -> IDResponse:
        """Make an image of a container.

        Endpoint: ``POST /commit``.

        Args:
            container: Docker's ``container``.
            repo: Docker's ``repo``.
            tag: Docker's ``tag``.
            comment: Docker's ``comment``.
            author: Docker's ``author``.
            pause: freeze the container meanwhile.
            changes: instructions of a Dockerfile, several lines each.
            hostname: Docker's ``Hostname``.
            domainname: Docker's ``Domainname``.
            user: ``name``, ``uid``, ``name:group`` or ``uid:gid``; empty is root.
            attach_stdin: Docker's ``AttachStdin``.
            attach_stdout: Docker's ``AttachStdout``.
            attach_stderr: Docker's ``AttachStderr``.
            exposed_ports: a set of ``port/protocol``.
            tty: Docker's ``Tty``.
            open_stdin: Docker's ``OpenStdin``.
            stdin_once: close the process's stdin when the first client that attached to it
                goes.
            env: ``NAME=value`` to set, ``NAME`` to remove what the image sets.
            cmd: Docker's ``Cmd``.
            healthcheck: Docker's ``Healthcheck``.
            args_escaped: Windows only.
            image: Docker's ``Image``.
            volumes: a set of paths that get an anonymous volume each.
            working_dir: Docker's ``WorkingDir``.
            entrypoint: Docker's ``Entrypoint``.
            network_disabled: Docker's ``NetworkDisabled``.
            mac_address: below 1.44: the address on the network of ``network_mode``. Since
                1.44 it stands in the endpoint's settings; since 1.52 giving it here is an
                error.
            on_build: Docker's ``OnBuild``.
            labels: Docker's ``Labels``.
            stop_signal: name or number; the default is SIGTERM.
            stop_timeout: seconds from the stop signal to SIGKILL; -1 waits for ever.
            shell: what runs the shell forms of CMD, ENTRYPOINT, RUN and health checks.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            The id of what was made.

        Raises:
            NotFound: there is no such object.
            Conflict: it is in a state that forbids this.
        """
        answer: IDResponse = self._client.calling.call(
            "images.commit",
            {
                "container": container,
                "repo": repo,
                "tag": tag,
                "comment": comment,
                "author": author,
                "pause": pause,
                "changes": changes,
                "hostname": hostname,
                "domainname": domainname,
                "user": user,
                "attach_stdin": attach_stdin,
                "attach_stdout": attach_stdout,
                "attach_stderr": attach_stderr,
                "exposed_ports": exposed_ports,
                "tty": tty,
                "open_stdin": open_stdin,
                "stdin_once": stdin_once,
                "env": env,
                "cmd": cmd,
                "healthcheck": healthcheck,
                "args_escaped": args_escaped,
                "image": image,
                "volumes": volumes,
                "working_dir": working_dir,
                "entrypoint": entrypoint,
                "network_disabled": network_disabled,
                "mac_address": mac_address,
                "on_build": on_build,
                "labels": labels,
                "stop_signal": stop_signal,
                "stop_timeout": stop_timeout,
                "shell": shell,
            },
            timeout,
        )
        return answer

    def get(
        self, name: str, *, platform: builtins.list[str] | None = None, timeout: float | None = None
    ) -> ByteStream:
        """Read an image, or all of a repository, as an archive.

        Endpoint: ``GET /images/{name...}/get``.

        Args:
            name: which one: a name, an id, or the beginning of an id.
            platform: OCI platforms as JSON; none is all that is here.
            timeout: seconds to wait for each piece; None is for ever.

        Returns:
            The bytes, read as they come.

        Raises:
            NotFound: there is no such object.
        """
        return ByteStream(
            self._client,
            self._client.calling.prepare("images.get", {"name": name, "platform": platform}),
            timeout,
        )

    def get_many(
        self,
        *,
        names: builtins.list[str] | None = None,
        platform: builtins.list[str] | None = None,
        timeout: float | None = None,
    ) -> ByteStream:
        """Read several images as one archive.

        Endpoint: ``GET /images/get``.

        Args:
            names: Docker's ``names``.
            platform: OCI platforms as JSON; none is all that is here.
            timeout: seconds to wait for each piece; None is for ever.

        Returns:
            The bytes, read as they come.

        Raises:
            NotFound: there is no such object.
        """
        return ByteStream(
            self._client,
            self._client.calling.prepare("images.get_many", {"names": names, "platform": platform}),
            timeout,
        )

    def load(
        self,
        body: Body,
        *,
        quiet: bool = True,
        platform: builtins.list[str] | None = None,
        timeout: float | None = None,
    ) -> ProgressStream:
        """Take in images from an archive that was made by get.

        Endpoint: ``POST /images/load``.

        Args:
            body: Docker's ``body``.
            quiet: only say what was loaded.
            platform: OCI platforms as JSON; none is all.
            timeout: seconds to wait for each piece; None is for ever.

        Returns:
            The progress; ``wait()`` sees it through.
        """
        return ProgressStream(
            self._client,
            self._client.calling.prepare(
                "images.load", {"body": body, "quiet": quiet, "platform": platform}
            ),
            timeout,
        )

    def distribution_inspect(
        self, name: str, *, registry_auth: AuthConfig | str | None = None, timeout: Limit = CLIENT
    ) -> DistributionInspect:
        """Ask the registry what it has under a name.

        Endpoint: ``GET /distribution/{name...}/json``, since 1.30.

        Args:
            name: which one: a name, an id, or the beginning of an id.
            registry_auth: credentials; None takes those of ``config.json``, ``""`` sends
                none.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            What a registry has under a name.

        Raises:
            Unauthorized: the registry wants other credentials.
            Forbidden: this is never allowed.
            NotFound: there is no such object.
        """
        answer: DistributionInspect = self._client.calling.call(
            "images.distribution_inspect", {"name": name, "registry_auth": registry_auth}, timeout
        )
        return answer
