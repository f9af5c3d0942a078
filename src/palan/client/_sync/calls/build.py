# Made of _async/calls/build.py by scripts/client_sync.py: change that, and run this.
# Made by scripts/client_calls.py of palan/api/build.py: change that.
"""Build: a method for each endpoint of the group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palan.client._limits import CLIENT, Limit
from palan.client._sync.streams import ProgressStream, Session


if TYPE_CHECKING:
    from palan.api.build import BuildPruneResponse
    from palan.client._request import Filters
    from palan.client._sync.client import Client
    from palan.client._sync.io import Body

__all__ = ["BuildCalls"]


class BuildCalls:
    """Images made from Dockerfiles, and the build cache."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def build(
        self,
        *,
        body: Body | None = None,
        dockerfile: str = "",
        t: list[str] | None = None,
        extra_hosts: list[str] | None = None,
        remote: str = "",
        q: bool = False,
        no_cache: bool = False,
        cache_from: str = "",
        pull: bool = False,
        rm: bool = True,
        force_rm: bool = False,
        memory: int = 0,
        mem_swap: int = 0,
        cpu_shares: int = 0,
        cpuset_cpus: str = "",
        cpuset_mems: str = "",
        cpu_period: int = 0,
        cpu_quota: int = 0,
        cgroup_parent: str = "",
        ulimits: str = "",
        security_opt: str = "",
        build_args: str = "",
        shm_size: int = 0,
        squash: bool = False,
        labels: str = "",
        network_mode: str = "",
        platform: str = "",
        target: str = "",
        outputs: str = "",
        version: str = "1",
        session: str = "",
        build_id: str = "",
        content_type: str = "application/x-tar",
        registry_config: str = "",
        timeout: float | None = None,
    ) -> ProgressStream:
        """Build an image from a Dockerfile and the files beside it.

        Endpoint: ``POST /build``.

        Args:
            body: the context: a tar archive, plain or compressed.
            dockerfile: its path in the context; empty is ``Dockerfile``.
            t: names for the image.
            extra_hosts: ``name:address``.
            remote: where the context is instead of the body: a git repository, an archive, a
                Dockerfile; ``client-session`` with BuildKit.
            q: only say the id.
            no_cache: Docker's ``nocache``.
            cache_from: images to take steps from: a list as JSON.
            pull: ask the registry even for images that are here.
            rm: remove the containers of steps that succeeded.
            force_rm: remove those of steps that failed as well.
            memory: bytes, for each step; so are the next ones limits of steps.
            mem_swap: bytes of memory and swap together; -1 is without limit.
            cpu_shares: Docker's ``cpushares``.
            cpuset_cpus: Docker's ``cpusetcpus``.
            cpuset_mems: Docker's ``cpusetmems``.
            cpu_period: microseconds.
            cpu_quota: microseconds per period.
            cgroup_parent: Docker's ``cgroupparent``.
            ulimits: a list of ``Ulimit`` as JSON.
            security_opt: a list as JSON.
            build_args: an object as JSON; null as a value means the default of the
                Dockerfile.
            shm_size: bytes.
            squash: make one layer of all that the build adds.
            labels: an object as JSON.
            network_mode: Docker's ``networkmode``.
            platform: ``os[/arch[/variant]]``; with BuildKit several, separated by commas.
            target: the stage to stop after.
            outputs: what BuildKit shall make: a list of ``{"Type", "Attrs"}`` as JSON.
            version: ``1`` is the classic builder, ``2`` is BuildKit.
            session: buildKit's session, which offers the context and secrets.
            build_id: a name to cancel the build by.
            content_type: Docker's ``contentType``.
            registry_config: credentials: an object of ``AuthConfig`` by registry, as JSON in
                base64.
            timeout: seconds to wait for each piece; None is for ever.

        Returns:
            The progress; ``wait()`` sees it through.
        """
        return ProgressStream(
            self._client,
            self._client.calling.prepare(
                "build.build",
                {
                    "body": body,
                    "dockerfile": dockerfile,
                    "t": t,
                    "extra_hosts": extra_hosts,
                    "remote": remote,
                    "q": q,
                    "no_cache": no_cache,
                    "cache_from": cache_from,
                    "pull": pull,
                    "rm": rm,
                    "force_rm": force_rm,
                    "memory": memory,
                    "mem_swap": mem_swap,
                    "cpu_shares": cpu_shares,
                    "cpuset_cpus": cpuset_cpus,
                    "cpuset_mems": cpuset_mems,
                    "cpu_period": cpu_period,
                    "cpu_quota": cpu_quota,
                    "cgroup_parent": cgroup_parent,
                    "ulimits": ulimits,
                    "security_opt": security_opt,
                    "build_args": build_args,
                    "shm_size": shm_size,
                    "squash": squash,
                    "labels": labels,
                    "network_mode": network_mode,
                    "platform": platform,
                    "target": target,
                    "outputs": outputs,
                    "version": version,
                    "session": session,
                    "build_id": build_id,
                    "content_type": content_type,
                    "registry_config": registry_config,
                },
            ),
            timeout,
        )

    def prune(
        self,
        *,
        all: bool = False,
        filters: Filters | None = None,
        keep_storage: int = 0,
        reserved_space: int = 0,
        max_used_space: int = 0,
        min_free_space: int = 0,
        timeout: Limit = CLIENT,
    ) -> BuildPruneResponse:
        """Remove records of the build cache that nothing uses.

        Filters: description, id, inuse, parent, private, shared, type, until.

        Endpoint: ``POST /build/prune``, since 1.31.

        Args:
            all: also internal records.
            filters: Docker's ``filters``.
            keep_storage: below 1.48, bytes: the old name of ``reserved_space``.
            reserved_space: bytes that are always kept.
            max_used_space: bytes that the cache may take; 0 is any.
            min_free_space: bytes of the disk that shall be free.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            The records of the build cache that were removed.
        """
        answer: BuildPruneResponse = self._client.calling.call(
            "build.prune",
            {
                "all": all,
                "filters": filters,
                "keep_storage": keep_storage,
                "reserved_space": reserved_space,
                "max_used_space": max_used_space,
                "min_free_space": min_free_space,
            },
            timeout,
        )
        return answer

    def cancel(self, *, id: str = "", timeout: Limit = CLIENT) -> None:
        """Cancel a build; one that is not there is no error.

        Endpoint: ``POST /build/cancel``, since 1.39.

        Args:
            id: what the build was given as ``build_id``.
            timeout: seconds for the whole call; None is for ever.
        """
        self._client.calling.call("build.cancel", {"id": id}, timeout)

    def session(self, *, timeout: float | None = None) -> Session:
        """Open a connection on which the client serves files and secrets to builds (h2c).

        Endpoint: ``POST /session``, since 1.31.

        Args:
            timeout: seconds to wait for each piece; None is for ever.

        Returns:
            A connection, made when it is entered or first used.
        """
        return Session(
            self._client, self._client.calling.prepare("build.session", {}), timeout, raw=True
        )

    def grpc(self, *, timeout: float | None = None) -> Session:
        """Open a connection to BuildKit's services (h2c).

        Endpoint: ``POST /grpc``, since 1.39.

        Args:
            timeout: seconds to wait for each piece; None is for ever.

        Returns:
            A connection, made when it is entered or first used.
        """
        return Session(
            self._client, self._client.calling.prepare("build.grpc", {}), timeout, raw=True
        )
