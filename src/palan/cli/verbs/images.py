"""Images: ``palan images``, ``pull``, ``push``, ``build``, ``load``, ``save``, ``history`` ..."""

import re
import sys
import time
from itertools import chain
from pathlib import Path
from typing import Any

from palan.cli.verbs.listing import add_list_options, filters_of, show
from palan.cli.verbs.progress import Progress
from palan.cli.verbs.table import ago, short, size
from palan.cli.verbs.verb import Arguments, Parser, Refused, Verb, key_values
from palan.client import Client
from palan.client.errors import OperationFailed


__all__ = ["BUILD", "COMMIT", "EXPORT", "HISTORY", "IMAGES", "IMPORT", "LOAD", "PULL", "PUSH",
           "SAVE", "SEARCH"]  # fmt: skip

_COLUMNS = {
    "Repository": "REPOSITORY", "Tag": "TAG", "Digest": "DIGEST", "ID": "IMAGE ID",
    "CreatedSince": "CREATED", "CreatedAt": "CREATED AT", "Size": "SIZE",
}  # fmt: skip


def _declare_images(parser: Parser) -> None:
    parser.add_argument(
        "-a", "--all", action="store_true", help="show all images (default hides intermediate ones)"
    )
    parser.add_argument("--digests", action="store_true", help="show digests")
    parser.add_argument("repository", nargs="?", metavar="REPOSITORY[:TAG]")
    add_list_options(parser)


def _images(client: Client, given: Arguments) -> None:
    filters = filters_of(given.filter)
    if given.repository:
        filters.setdefault("reference", []).append(given.repository)
    found = client.images.list(all=given.all, filters=filters)
    rows = [
        row
        for image in sorted(found, key=lambda image: -image.created)
        for row in _rows(image, full=given.no_trunc)
    ]
    if given.quiet:
        for identity in dict.fromkeys(row["ID"] for row in rows):
            print(identity)
        return
    columns = ["Repository", "Tag", *(["Digest"] if given.digests else [])]
    show(_COLUMNS, rows, given.format, shown=(*columns, "ID", "CreatedSince", "Size"))


def _rows(image: Any, *, full: bool) -> list[dict[str, str]]:
    digests = dict(digest.split("@", 1) for digest in image.repo_digests or () if "@" in digest)
    names = [tag.rpartition(":")[::2] for tag in image.repo_tags or ()]
    names = names or [(repository, "<none>") for repository in digests] or [("<none>", "<none>")]
    return [
        {
            "Repository": repository,
            "Tag": tag,
            "Digest": digests.get(repository, "<none>"),
            "ID": image.id if full else short(image.id),
            "CreatedSince": ago(image.created),
            "CreatedAt": time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(image.created)),
            "Size": size(image.size),
            "VirtualSize": size(image.size, digits=4),
            "SharedSize": "N/A",
            "UniqueSize": "N/A",
            "Containers": "N/A",
        }
        for repository, tag in names
    ]


def _declare_pull(parser: Parser) -> None:
    parser.add_argument(
        "-a", "--all-tags", action="store_true", help="download all tagged images of the repository"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="suppress verbose output")
    parser.add_argument("--platform", default="", help="os[/arch[/variant]]")
    parser.add_argument("image", metavar="NAME[:TAG|@DIGEST]")


def _pull(client: Client, given: Arguments) -> None:
    plain = "@" not in given.image and ":" not in given.image.rpartition("/")[2]
    if given.all_tags and not plain:
        raise Refused("tag can't be used with --all-tags/-a")
    if plain and not given.all_tags and not given.quiet:
        print("Using default tag: latest")
    with Progress(sys.stdout, quiet=given.quiet) as progress:
        if given.all_tags:
            client.images.create(from_image=given.image, platform=given.platform).wait(progress)
        else:
            client.images.pull(given.image, platform=given.platform, progress=progress)
    print(_full_reference(given.image, all_tags=given.all_tags))


def _full_reference(name: str, *, all_tags: bool) -> str:
    """Return a name completed with its registry, ``library`` and tag."""
    first, slash, _ = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        name = f"docker.io/{name}" if slash else f"docker.io/library/{name}"
    tagged = "@" in name or ":" in name.rpartition("/")[2]
    return name if tagged or all_tags else f"{name}:latest"


def _declare_push(parser: Parser) -> None:
    parser.add_argument(
        "-a", "--all-tags", action="store_true", help="push all tags of the repository"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="suppress verbose output")
    parser.add_argument("--platform", default="", help="an OCI platform as JSON")
    parser.add_argument("image", metavar="NAME[:TAG]")


def _push(client: Client, given: Arguments) -> None:
    name, tag = given.image, ""
    if ":" in name.rpartition("/")[2]:
        name, _, tag = name.rpartition(":")
    if not tag and not given.all_tags:
        tag = "latest"
    with Progress(sys.stdout, quiet=given.quiet) as progress:
        client.images.push(name, tag=tag, platform=given.platform).wait(progress)
    if given.quiet:
        print(given.image)


_BUILD_TEXTS = ("target", "platform", "network")
_BUILD_LISTS = ("add-host", "build-arg", "cache-from", "label", "security-opt", "tag", "ulimit")


def _declare_build(parser: Parser) -> None:
    parser.add_argument("-f", "--file", default="Dockerfile", metavar="FILE")
    parser.add_argument("-q", "--quiet", action="store_true", help="print only the image's id")
    parser.add_argument("--no-cache", action="store_true", help="build without the cache")
    parser.add_argument(
        "--pull", action="store_true", help="always try to pull a newer version of the base image"
    )
    parser.add_argument(
        "--rm", action="store_true", default=True,
        help="remove intermediate containers after a successful build (default true)",
    )  # fmt: skip
    parser.add_argument(
        "--force-rm", action="store_true", help="always remove intermediate containers"
    )
    parser.add_argument("--squash", action="store_true", help="squash new layers into one")
    parser.add_argument("--iidfile", metavar="FILE", help="write the image's id to a file")
    parser.add_argument("-m", "--memory", metavar="SIZE")
    parser.add_argument("--shm-size", metavar="SIZE")
    for name in _BUILD_TEXTS:
        parser.add_argument(f"--{name}", default="")
    for name in _BUILD_LISTS:
        names = ["-t"] if name == "tag" else []
        parser.add_argument(*names, f"--{name}", action="append", default=[])
    parser.add_argument("path", metavar="PATH", help="a directory, a URL, or - for stdin")


def _build(client: Client, given: Arguments) -> None:
    import os

    from palan.cli.verbs.run_options import ulimit

    options: dict[str, Any] = {
        "no_cache": given.no_cache, "pull": given.pull, "force_rm": given.force_rm,
        "squash": given.squash, "quiet": given.quiet, "extra_hosts": given.add_host,
    }  # fmt: skip
    optional = {
        "target": given.target, "platform": given.platform, "network_mode": given.network,
        "memory": given.memory, "shm_size": given.shm_size, "labels": key_values(given.label),
        "cache_from": given.cache_from, "security_opt": given.security_opt,
        "ulimits": [ulimit(one) for one in given.ulimit],
    }  # fmt: skip
    options |= {name: value for name, value in optional.items() if value}
    arguments = {
        name: value if equals else os.environ.get(name)
        for name, equals, value in (one.partition("=") for one in given.build_arg)
    }
    for tag in given.tag:
        _check_tag(tag)
    source: dict[str, Any] = {"path": given.path}
    dockerfile = given.file
    if given.path == "-":
        if given.file == "-":
            raise Refused("invalid argument: can't use stdin for both build context and dockerfile")
        source = {"archive": _context_of_stdin()}
    elif "://" in given.path or given.path.startswith("git@"):
        source = {}
        options["remote"] = given.path
    elif given.file == "-":
        dockerfile = _dockerfile_of_stdin()
    elif given.file != "Dockerfile":
        # As with docker, a relative path starts at the working directory, not at the context.
        dockerfile = str(Path(given.file).resolve())
    with Progress(sys.stdout, quiet=given.quiet) as progress:
        try:
            built = client.images.build(
                tags=given.tag, dockerfile=dockerfile, build_args=arguments, progress=progress,
                **source, **options,
            )  # fmt: skip
        except OperationFailed as error:
            from palan.cli.verbs.verb import Failed

            print(error.message, file=sys.stderr)
            raise Failed(error.code or 1) from None
    if given.quiet:
        print(built.id)
    if given.iidfile:
        Path(given.iidfile).write_text(built.id)


_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_TAG = re.compile(
    rf"(?:(?:[A-Za-z0-9.-]+[.:][A-Za-z0-9.:-]*|localhost|\[[0-9a-f:]+\](?::\d+)?)/)?"
    rf"{_COMPONENT}(?:/{_COMPONENT})*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?"
)


def _check_tag(tag: str) -> None:
    """Refuse a name for an image that no engine accepts, before the context is sent.

    Raises:
        ValueError: the name is invalid.
    """
    if not _TAG.fullmatch(tag):
        reason = "invalid reference format"
        if _TAG.fullmatch(tag.lower()):
            reason += f": repository name ({tag}) must be lowercase"
        raise ValueError(f'invalid argument "{tag}" for "-t, --tag" flag: {reason}')


_ARCHIVES = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")


def _context_of_stdin() -> Any:
    """Return the context on stdin: an archive, or one that has the Dockerfile on stdin only."""
    start = sys.stdin.buffer.read(512)
    rest = chain([start], iter(lambda: sys.stdin.buffer.read(1 << 16), b""))
    if start.startswith(_ARCHIVES) or start[257:262] == b"ustar":
        return rest
    text = b"".join(rest)
    return _archive_of("Dockerfile", text)


def _archive_of(name: str, data: bytes) -> bytes:
    import io
    import tarfile

    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


def _dockerfile_of_stdin() -> str:
    """Return the path of a file with the Dockerfile on stdin; it is removed at the end."""
    import atexit
    import os
    import tempfile

    with tempfile.NamedTemporaryFile("wb", prefix="palan-dockerfile-", delete=False) as file:
        file.write(sys.stdin.buffer.read())
    atexit.register(os.unlink, file.name)
    return file.name


def _declare_load(parser: Parser) -> None:
    parser.add_argument("-i", "--input", metavar="FILE", help="read from a file, not from stdin")
    parser.add_argument("-q", "--quiet", action="store_true", help="suppress the load output")


def _load(client: Client, given: Arguments) -> None:
    with Progress(sys.stdout) as progress:
        if given.input:
            with Path(given.input).open("rb") as file:
                client.images.load(file, quiet=given.quiet).wait(progress)
        else:
            client.images.load(sys.stdin.buffer, quiet=given.quiet).wait(progress)


def _declare_save(parser: Parser) -> None:
    parser.add_argument("-o", "--output", metavar="FILE", help="write to a file, not to stdout")
    parser.add_argument("images", nargs="+", metavar="IMAGE")


def _save(client: Client, given: Arguments) -> None:
    client.images.get_many(names=given.images).save(_output_target(given.output))


def _output_target(name: str | None) -> Any:
    if name:
        return name
    if sys.stdout.isatty():
        raise Refused("cowardly refusing to save to a terminal. Use the -o flag or redirect")
    return sys.stdout.buffer


def _declare_export(parser: Parser) -> None:
    parser.add_argument("-o", "--output", metavar="FILE", help="write to a file, not to stdout")
    parser.add_argument("container", metavar="CONTAINER")


def _export(client: Client, given: Arguments) -> None:
    client.containers.export(given.container).save(_output_target(given.output))


def _declare_import(parser: Parser) -> None:
    parser.add_argument("-c", "--change", action="append", default=[], metavar="INSTRUCTION")
    parser.add_argument("-m", "--message", default="", help="the commit message")
    parser.add_argument("--platform", default="")
    parser.add_argument("source", metavar="FILE|-")
    parser.add_argument("repository", nargs="?", default="", metavar="REPOSITORY[:TAG]")


def _import(client: Client, given: Arguments) -> None:
    repository, tag = given.repository, "latest"
    if ":" in repository.rpartition("/")[2]:
        repository, _, tag = repository.rpartition(":")
    options = {"changes": given.change, "message": given.message, "platform": given.platform}
    if given.source.startswith(("http://", "https://")):
        importing = client.images.create(
            from_src=given.source, repo=repository, tag=tag if repository else "",
            changes=given.change, message=given.message, platform=given.platform,
            registry_auth="",
        )  # fmt: skip
        identity = ""
        for step in importing:
            identity = step.status or identity
    elif given.source == "-":
        identity = client.images.import_archive(sys.stdin.buffer, repository, tag=tag, **options)
    else:
        with Path(given.source).open("rb") as file:
            identity = client.images.import_archive(file, repository, tag=tag, **options)
    print(identity)


def _declare_commit(parser: Parser) -> None:
    parser.add_argument("-a", "--author", default="")
    parser.add_argument("-c", "--change", action="append", default=[], metavar="INSTRUCTION")
    parser.add_argument("-m", "--message", default="", help="the commit message")
    parser.add_argument(
        "--no-pause", action="store_true", help="do not pause the container during the commit"
    )
    parser.add_argument("container", metavar="CONTAINER")
    parser.add_argument("repository", nargs="?", default="", metavar="REPOSITORY[:TAG]")


def _commit(client: Client, given: Arguments) -> None:
    repository, tag = given.repository, ""
    if ":" in repository.rpartition("/")[2]:
        repository, _, tag = repository.rpartition(":")
    made = client.images.commit(
        container=given.container, repo=repository, tag=tag, comment=given.message,
        author=given.author, pause=not given.no_pause, changes=given.change,
    )  # fmt: skip
    print(made.id)


def _declare_history(parser: Parser) -> None:
    add_list_options(parser, filters=False)
    parser.add_argument("image", metavar="IMAGE")


_HISTORY = {
    "ID": "IMAGE", "CreatedSince": "CREATED", "CreatedBy": "CREATED BY", "Size": "SIZE",
    "Comment": "COMMENT",
}  # fmt: skip


def _history(client: Client, given: Arguments) -> None:
    rows = []
    for step in client.images.history(given.image):
        by = " ".join(step.created_by.split())
        identity = step.id if given.no_trunc or step.id == "<missing>" else short(step.id)
        rows.append({
            "ID": identity,
            "CreatedSince": ago(step.created),
            "CreatedBy": by if given.no_trunc or len(by) <= 45 else f"{by[:44]}…",
            "Size": size(step.size),
            "Comment": step.comment,
        })  # fmt: skip
    if given.quiet:
        for row in rows:
            print(row["ID"])
    else:
        show(_HISTORY, rows, given.format, shown=tuple(_HISTORY))


def _declare_search(parser: Parser) -> None:
    add_list_options(parser)
    parser.add_argument("--limit", type=int, help="the maximum number of results")
    parser.add_argument("term", metavar="TERM")


_SEARCH = {"Name": "NAME", "Description": "DESCRIPTION", "StarCount": "STARS",
           "IsOfficial": "OFFICIAL"}  # fmt: skip


def _search(client: Client, given: Arguments) -> None:
    found = client.images.search(given.term, limit=given.limit, filters=filters_of(given.filter))
    rows = [
        {
            "Name": one.name, "Description": one.description, "StarCount": str(one.star_count),
            "IsOfficial": "[OK]" if one.is_official else "",
        }
        for one in found
    ]  # fmt: skip
    show(_SEARCH, rows, given.format, shown=tuple(_SEARCH))


IMAGES = Verb("List images", _declare_images, _images)
PULL = Verb("Pull an image from a registry", _declare_pull, _pull)
PUSH = Verb("Push an image to its registry", _declare_push, _push)
BUILD = Verb("Build an image from a Dockerfile", _declare_build, _build)
LOAD = Verb("Load images from a tar archive or stdin", _declare_load, _load)
SAVE = Verb("Save one or more images to a tar archive", _declare_save, _save)
EXPORT = Verb("Export a container's filesystem as a tar archive", _declare_export, _export)
IMPORT = Verb("Import a tar archive as the filesystem of a new image", _declare_import, _import)
COMMIT = Verb("Create a new image from a container's changes", _declare_commit, _commit)
HISTORY = Verb("Show the history of an image", _declare_history, _history)
SEARCH = Verb("Search a registry for images", _declare_search, _search)
