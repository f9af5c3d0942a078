"""Builds: COPY and ADD."""

import io
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.support.build import build, context, output
from tests.support.engine import TestEngine
from tests.support.tar import entry, tarball


pytestmark = pytest.mark.root


@pytest.fixture
def engine(shared_engine: TestEngine) -> Iterator[TestEngine]:
    """Yield the engine of the session, and remove containers and images of builds at the end."""
    yield shared_engine
    shared_engine.remove_all()
    shared_engine.api.post("/images/prune")


def listed(engine: TestEngine, archive: bytes, what: str = "/x") -> dict[str, str]:
    """Return modes, owners, sizes or targets of files below a path, by name."""
    script = f"RUN find {what} -exec stat -c '%n %a %u:%g %s %Y %N' {{}} +"
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        members = [(m, (tar.extractfile(m) or io.BytesIO()).read()) for m in tar if m.isfile()]
        rest = [(m, b"") for m in tar if not m.isfile()]
    for number, (info, data) in enumerate(members):
        if info.name == "Dockerfile":
            whole = data + f"\n{script}\n".encode()
            members[number] = entry("Dockerfile", whole)
    built = build(engine, tarball(*rest, *members), nocache=1)
    assert built.image
    return dict(line.split(" ", 1) for line in output(built))


def test_a_directory_is_copied_as_what_is_in_it(engine):
    found = listed(
        engine,
        tarball(
            entry("Dockerfile", b"FROM busybox\nCOPY d /x/y"),
            entry("d", kind="dir", mode=0o700, mtime=5),
            entry("d/sub", kind="dir", mode=0o2770, mtime=7, uid=9, gid=9),
            entry("d/sub/file", b"abc", mode=0o4755, mtime=6, uid=9, gid=9),
            entry("d/link", kind="link", linkname="/etc/passwd"),
        ),
    )
    # The directory itself gets a default mode; root owns everything.
    assert found["/x/y"].startswith("755 0:0")
    assert found["/x/y/sub"].startswith("2770 0:0 ")
    assert " 7 " in found["/x/y/sub"]
    assert found["/x/y/sub/file"].startswith("4755 0:0 3 6 ")
    assert found["/x/y/link"].endswith("'/x/y/link' -> '/etc/passwd'")


def test_owners_by_name_and_number_get_what_is_made(engine):
    text = b"FROM busybox\nCOPY --chown=app:extra d /x/a\nCOPY --chown=5 d/file /x/b/c/"
    found = listed(engine, tarball(entry("Dockerfile", text), entry("d/file", b"1")))
    owners = {name: rest.split()[1] for name, rest in found.items()}
    assert owners == {
        "/x": "0:0",
        "/x/a": "1000:2000",
        "/x/a/file": "1000:2000",
        "/x/b": "5:5",
        "/x/b/c": "5:5",
        "/x/b/c/file": "5:5",
    }


def test_owners_and_links_of_other_stages_stay(engine):
    text = (
        b"FROM busybox AS one\nRUN mkdir -p /d && echo 1 > /d/f && chown 7:8 /d/f && ln /d/f /d/g"
        b" && ln -s f /d/s\nFROM busybox\nCOPY --from=one /d/ /x/\nCOPY --from=one /d/s /x/t"
    )
    found = listed(engine, tarball(entry("Dockerfile", text)))
    assert found["/x/f"].startswith("644 7:8 2 ")
    assert found["/x/g"].startswith("644 7:8 2 ")
    assert found["/x/s"].endswith("'/x/s' -> 'f'")
    # A link that is a source itself is followed.
    assert found["/x/t"].startswith("644 7:8 2 ")


def test_patterns_and_several_sources(engine):
    text = b"FROM busybox\nWORKDIR /x\nCOPY a*.t? d/?.txt sub/[b-c] here/\nCOPY a1.tx ./new\n"
    names = ("a1.tx", "a2.ty", "a3.txt", "d/1.txt", "d/11.txt", "sub/a", "sub/b", "sub/c")
    found = listed(
        engine, tarball(entry("Dockerfile", text), *(entry(name, b"1") for name in names))
    )
    assert set(found) == {
        *("/x", "/x/new", "/x/here", "/x/here/a1.tx", "/x/here/a2.ty", "/x/here/1.txt"),
        *("/x/here/b", "/x/here/c"),
    }


def test_links_of_the_image_lead_within_it_and_are_replaced_below(engine):
    text = (
        b"FROM busybox\nRUN mkdir -p /x/real && ln -s /x/real /x/link && ln -s /x/real /x/real/sub"
        b"\nCOPY file /x/link/\nCOPY d /x/link\nCOPY file /x/link"
    )
    found = listed(
        engine,
        tarball(
            entry("Dockerfile", text), entry("file", b"1"), entry("d/sub/f", b"2"), entry("d/e")
        ),
    )
    assert found["/x/link"].endswith("-> '/x/real'")
    assert set(found) == {
        *("/x", "/x/link", "/x/real", "/x/real/file", "/x/real/e", "/x/real/sub"),
        "/x/real/sub/f",
    }


def test_nothing_leaves_the_context(engine):
    archive = tarball(
        entry("Dockerfile", b"FROM busybox\nCOPY out /x/a\nCOPY up/passwd /x/b\n"),
        entry("out", kind="link", linkname="/etc/passwd"),
        entry("up", kind="link", linkname="../../../../../etc"),
        entry("etc/passwd", b"the context's"),
    )
    found = listed(engine, archive)
    assert found["/x/a"].startswith("644 0:0 13 ")
    assert found["/x/b"].startswith("644 0:0 13 ")
    for name in ("../evil", "/../evil", "a/../../evil"):
        bad = tarball(entry("Dockerfile", b"FROM busybox\n"), entry(name, b"x"))
        answer = build(engine, bad).answer
        assert answer.status == 400
        assert "leaves the root" in answer.message
    through = tarball(
        entry("l", kind="link", linkname="/tmp"),
        entry("l/f", b"1"),
        entry("Dockerfile", b"FROM busybox\nCOPY tmp/f /x/\n"),
    )
    assert "/x/f" in listed(engine, through)


def test_archives_are_unpacked_by_add_only(engine):
    inner = tarball(
        entry("in", kind="dir", mode=0o750, uid=3, gid=4), entry("in/f", b"12", uid=3, gid=4)
    )
    packed = {
        f"a.{mode or 'tar'}": tarball(entry(f"f-{mode}", b"1"), mode=f"w:{mode}")
        for mode in ("gz", "bz2", "xz")
    }
    text = b"FROM busybox\nADD a.tar /x/y\nCOPY a.tar /x/c\nADD a.* /x/z/\nADD no.gz /x/"
    archive = tarball(
        entry("Dockerfile", text),
        entry("a.tar", inner),
        *(entry(name, data) for name, data in packed.items()),
        entry("no.gz", b"\x1f\x8b not really"),
    )
    found = listed(engine, archive)
    assert found["/x/y/in"].startswith("750 3:4 ")
    assert found["/x/y/in/f"].startswith("644 3:4 2 ")
    assert found["/x/c"].startswith(f"644 0:0 {len(inner)} ")
    assert {"/x/z/f-gz", "/x/z/f-bz2", "/x/z/f-xz", "/x/z/in/f"} <= set(found)
    assert found["/x/no.gz"].startswith("644 0:0 ")


def test_times_do_not_count_but_modes_names_and_content_do(engine):
    def made(**attributes):
        name = attributes.pop("name", "d/f")
        data = attributes.pop("data", b"1")
        text = b"FROM busybox\nCOPY d /x\n"
        return build(
            engine, tarball(entry("Dockerfile", text), entry(name, data, **attributes))
        ).image

    first = made()
    assert made(mtime=99) == first
    assert len({first, made(mode=0o600), made(name="d/g"), made(data=b"2")}) == 4


def test_a_file_that_becomes_a_directory_and_the_reverse(engine):
    text = b"FROM busybox\nRUN mkdir -p /x/a/deep && touch /x/a/deep/f /x/b\nCOPY d /x"
    found = listed(
        engine, tarball(entry("Dockerfile", text), entry("d/a", b"1"), entry("d/b/new", b"2"))
    )
    assert set(found) == {"/x", "/x/a", "/x/b", "/x/b/new"}
    refused = build(engine, "FROM busybox\nCOPY d /etc/passwd\n", {"d/f": "1"})
    assert refused.error == "failed to copy files: /etc/passwd: not a directory"


def test_many_files_and_large_ones(engine):
    large = bytes(range(256)) * (40 << 10)
    files = {f"d/{number // 100}/{number}": b"%d" % number for number in range(1200)}
    text = "FROM busybox\nCOPY d /x\nRUN find /x -type f | wc -l; md5sum < /x/large\n"
    built = build(engine, text, {**files, "d/large": large})
    assert output(built)[0] == "1201"
    assert build(engine, context(text, {**files, "d/large": large})).hits == 2


def test_directories_that_workdir_makes(engine):
    built = build(
        engine,
        "FROM busybox\nRUN mkdir -m 700 /x && ln -s /x /l\nWORKDIR /l/new\nRUN pwd; stat -c"
        " '%a %n' /x /x/new\nWORKDIR /x\nWORKDIR ../tmp\nRUN pwd\n",
    )
    assert output(built) == ["/x/new", "700 /x", "755 /x/new", "/tmp"]
    bad = build(engine, "FROM busybox\nWORKDIR /etc/passwd/x\n")
    assert bad.error == "cannot mkdir: /etc/passwd: not a directory"


# ---- from URLs -----------------------------------------------------------------------


@pytest.fixture
def web() -> Iterator[tuple[str, dict[str, tuple[str, bytes]]]]:
    """Run a server of files; yield its files by path: their type and content."""
    files: dict[str, tuple[str, bytes]] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind, data = files.get(self.path, ("", b""))
            self.send_response(200 if kind else 404)
            self.send_header("Content-Type", kind or "text/plain")
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Last-Modified", "Thu, 01 Jan 1970 00:01:40 GMT")
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", files
    server.shutdown()
    thread.join()
    server.server_close()


def test_urls_are_downloaded_by_add(engine, web):
    url, files = web
    files["/dir/file.tar"] = ("application/x-tar", tarball(entry("inside", b"1")))
    text = f"FROM busybox\nADD {url}/dir/file.tar /x/\nADD {url}/dir/file.tar /x/named"
    found = listed(engine, tarball(entry("Dockerfile", text.encode())))
    size = len(files["/dir/file.tar"][1])
    assert found["/x/file.tar"].startswith(f"600 0:0 {size} 100 ")
    assert found["/x/named"].startswith("600 0:0 ")
    absent = build(engine, f"FROM busybox\nADD {url}/absent /x\n")
    assert absent.error.startswith(f"ADD failed: failed to GET {url}/absent with status 404")
    nameless = build(engine, f"FROM busybox\nADD {url}/ /x/\n")
    assert nameless.error.startswith("ADD failed: ")


def test_contexts_from_elsewhere(engine, web):
    url, files = web
    text = b"FROM busybox\nLABEL from=web\n"
    files["/Dockerfile"] = ("text/plain; charset=utf-8", text)
    files["/unsaid"] = ("application/octet-stream", text)
    files["/context.tar.gz"] = (
        "application/x-gzip",
        tarball(entry("Dockerfile", text + b"COPY f /\n"), entry("f", b"1"), mode="w:gz"),
    )
    files["/page"] = ("image/png", b"x")
    files["/copies"] = ("text/plain", b"FROM busybox\nCOPY f /\n")
    for name in ("Dockerfile", "unsaid", "context.tar.gz"):
        assert build(engine, b"", remote=f"{url}/{name}").image
    page = build(engine, b"", remote=f"{url}/page").answer
    assert (page.status, page.message) == (
        400,
        f'error detecting content type for remote {url}/page: unsupported Content-Type "image/png"',
    )
    absent = build(engine, b"", remote=f"{url}/absent").answer
    assert absent.status == 404
    assert absent.message.startswith(
        f"error downloading remote context {url}/absent: failed to GET"
    )
    assert build(engine, b"", remote=f"{url}/copies").error == "COPY failed: missing build context"
    refused = build(engine, b"", remote="http://127.0.0.1:1/Dockerfile").answer
    assert refused.message == (
        "error downloading remote context http://127.0.0.1:1/Dockerfile: Get"
        ' "http://127.0.0.1:1/Dockerfile": dial tcp 127.0.0.1:1: connect: connection refused'
    )
