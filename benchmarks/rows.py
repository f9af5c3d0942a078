"""The rows of the table, and Palan's targets in them."""

from dataclasses import dataclass


__all__ = ["ROWS", "Row", "Target"]


@dataclass(frozen=True)
class Target:
    """A bound for the ratio of Palan's median to dockerd's, or for Palan's median alone."""

    bound: float
    at_least: bool = False
    ratio: bool = True

    def reached(self, palan: float, dockerd: float) -> bool:
        value = palan / dockerd if self.ratio else palan
        return value >= self.bound if self.at_least else value <= self.bound

    def text(self, unit: str) -> str:
        sign = "≥" if self.at_least else "≤"
        if not self.ratio:
            return f"{sign} {self.bound:g} {unit}"
        if self.bound < 1:
            return f"{sign} 1/{1 / self.bound:g}"
        return f"{sign} {self.bound:g}"


@dataclass(frozen=True)
class Row:
    """A line of the table; its figures are in ``unit``."""

    what: str
    unit: str
    target: Target | None = None


def _fraction(of: float) -> Target:
    return Target(1 / of)


def _times(factor: float) -> Target:
    return Target(factor, at_least=True)


def _own(bound: float) -> Target:
    return Target(bound, ratio=False)


def _own_at_least(bound: float) -> Target:
    return Target(bound, at_least=True, ratio=False)


# "Not slower" allows for the noise of figures below a millisecond.
NOT_SLOWER = Target(1.1)
# "Not less" allows for the larger noise of transfers, which need two processors at once.
NOT_LESS = Target(0.9, at_least=True)

ROWS: dict[str, Row] = {
    "engine.start": Row("start of the engine to its first answer", "ms", _own(1000)),
    "api.ping": Row("`GET /_ping`", "ms", NOT_SLOWER),
    "api.inspect": Row("inspect one container", "ms", NOT_SLOWER),
    "api.list100": Row("list 100 containers", "ms", _fraction(3)),
    "run.create": Row("create", "ms"),
    "run.start": Row("start, default bridge", "ms", _fraction(4)),
    "run.cycle_bridge": Row("create, start `true`, wait, remove", "ms", _fraction(4)),
    "run.cycle_none": Row("the same without network", "ms", _fraction(5)),
    "run.start20_by4": Row("20 containers started by 4 clients", "ms", _fraction(5)),
    "run.start100_by8": Row("100 containers started by 8 clients", "ms", _fraction(3)),
    "stats.share": Row("100 streams of `stats`: of one processor", "%", _own(10)),
    "restart.share": Row("500 containers, 10 restarts a second: of one processor", "%", _own(25)),
    "restart.memory": Row("the engine then (PSS)", "MiB", _own(150)),
    "run.stop": Row("stop `sleep` that has an init", "ms"),
    "run.exec": Row("exec of `true`, over the API", "ms", _fraction(2)),
    "cli.run_rm": Row("`docker run --rm busybox true`", "ms", _fraction(4)),
    "cli.exec": Row("`docker exec C true`", "ms"),
    "cp.many_in": Row("5,000 small files into a container (`PUT archive`)", "ms", NOT_SLOWER),
    "cp.many_out": Row("the same out of it (`GET archive`)", "ms", NOT_SLOWER),
    "cp.large_in": Row("one file of 128 MiB in", "ms", NOT_SLOWER),
    "cp.large_out": Row("the same out", "ms", NOT_SLOWER),
    "cp.one": Row("`docker cp C:/bin/busybox -`, not running", "ms"),
    "log.write": Row("a container writes 64 MiB of 61-byte lines", "MiB/s", _times(5)),
    "log.read": Row("reading them back", "MiB/s", _times(10)),
    "log.tail": Row("the last 100 of them", "ms"),
    "log.attach": Row("256 MiB through `docker run`, no log", "MiB/s", _times(2)),
    "image.load": Row("load of an image of 150 MiB, 5,000 files", "ms", NOT_SLOWER),
    "image.save": Row("saving it", "ms", NOT_SLOWER),
    "image.export": Row("export of a container of it", "ms", NOT_SLOWER),
    "image.commit_100m": Row("commit of a container with 100 MiB changed", "ms", NOT_SLOWER),
    "image.commit_5000": Row("commit of a container with 5,000 files changed", "ms", NOT_SLOWER),
    "image.changes": Row("the changes of that container", "ms", NOT_SLOWER),
    "image.commit_chain": Row("ten steps of create, run, commit, remove", "ms", NOT_SLOWER),
    "image.build": Row("build of ten steps, RUN and COPY in turn", "ms", NOT_SLOWER),
    "image.pull": Row("pull of 5,000 files, 150 MiB, from loopback", "ms", _fraction(1.5)),
    "net.start": Row("start on a user-defined network", "ms", _fraction(4)),
    "net.start5": Row("the same with 5 published ports", "ms", _fraction(4)),
    "net.start200": Row("the same with 200 published ports", "ms", _fraction(10)),
    "net.between": Row("TCP between two containers", "Gbit/s", NOT_LESS),
    "net.between_cpu": Row("what that takes of processors", "ms/GB", NOT_SLOWER),
    "net.published": Row("TCP from the host to a published port", "Gbit/s", NOT_LESS),
    "net.published_cpu": Row("what that takes of processors", "ms/GB", NOT_SLOWER),
    "net.localhost": Row("the same by way of 127.0.0.1", "Gbit/s", NOT_LESS),
    "net.ten": Row("10 networks with 3 containers each, made, used, removed", "s", _fraction(2)),
    "net.dns": Row("answers about a container's name", "1/s", _own_at_least(5000)),
    "net.dns_median": Row("one of them", "ms", _own(1)),
    "mem.idle": Row("engine with helpers, nothing running (PSS)", "MiB", _own(60)),
    "mem.after": Row("the same after all of the above, 100 containers", "MiB"),
    "mem.per_container": Row("more per running container", "MiB", _own(1)),
}
