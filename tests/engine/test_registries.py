"""Images to and from Debian's docker-registry, with TLS, passwords, tokens, mirrors, proxies."""

import base64
import contextlib
import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests.engine.test_pull import error, layer, pull, remove_images
from tests.engine.test_push import load, push
from tests.support.crash import eventually
from tests.support.docker_cli import Docker
from tests.support.engine import TestEngine
from tests.support.images import sha256
from tests.support.registry import PASSWORD, USER, docker_registry, self_signed, serve
from tests.support.registry_fake import FakeRegistry
from tests.support.token_server import TokenServer


pytestmark = pytest.mark.root


class Configured(TestEngine):
    """An engine with a configuration that can be changed while it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.file = self.base / "daemon.json"
        self.file.write_text("{}")
        self.flags = ("--config-file", str(self.file))

    def configure(self, **directives):
        """Change directives and reload; underscores stand for hyphens."""
        changed = {key.replace("_", "-"): value for key, value in directives.items()}
        self.file.write_text(json.dumps(changed))
        before = self.log.read_text().count("reload")
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)
        eventually(lambda: self.log.read_text().count("reload") > before)

    @property
    def address(self):
        """An address of this machine that is not loopback."""
        network = self.api.get("/networks/bridge").json
        return network["IPAM"]["Config"][0]["Gateway"]


@pytest.fixture(scope="module")
def configured():
    engine = Configured()
    engine.start()
    yield engine
    engine.close()


@pytest.fixture
def engine(configured):
    yield configured
    if configured.file.read_text() != "{}":
        configured.configure()
    remove_images(configured)


@pytest.fixture
def docker(engine, tmp_path):
    if shutil.which("docker") is None:
        pytest.skip("there is no docker CLI on PATH")
    return Docker(engine, tmp_path / "docker-config")


def header(**auth):
    return {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(auth).encode()).decode()}


GOOD = header(username=USER, password=PASSWORD)


# ---- docker-registry -----------------------------------------------------------------


def test_a_whole_trip(engine, docker, tmp_path):
    with docker_registry(tmp_path) as address:
        name = f"{address}/team/app:1"
        load(engine, layer("1"), layer("2"), tag=name)
        loaded = engine.api.get(f"/images/{name}/json").json
        pushed = docker("push", name)
        # The push has compressed the layers, so the manifest is another one.
        before = engine.api.get(f"/images/{name}/json").json
        assert before["Id"] == loaded["Id"]
        assert f"digest: {before['Descriptor']['digest']}" in pushed.out
        distribution = engine.api.get(f"/distribution/{name}/json").json
        assert distribution["Descriptor"]["digest"] == before["Descriptor"]["digest"]
        docker("rmi", name)
        assert docker("pull", "-q", name).word == name
        after = engine.api.get(f"/images/{name}/json").json
        for key in ("Id", "RootFS", "Config", "Descriptor", "RepoDigests"):
            assert after[key] == before[key], key
        docker("tag", name, f"{address}/team/app:2")
        docker("push", "-a", f"{address}/team/app")
        docker("rmi", name, f"{address}/team/app:2")
        assert "Downloaded newer image" in docker("pull", "-a", f"{address}/team/app").out
        assert {tag for i in engine.api.get("/images/json").json for tag in i["RepoTags"]} == {
            name, f"{address}/team/app:2"
        }  # fmt: skip


def test_run_pulls_on_demand(engine, docker, tmp_path):
    engine.load_image()
    with docker_registry(tmp_path) as address:
        name = f"{address}/busybox:1"
        docker("tag", "busybox", name)
        docker("push", name)
        docker("rmi", name)
        done = docker("run", "--rm", name, "echo", "pulled")
        assert (done.out, "Pulling from busybox" in done.err) == ("pulled\n", True)
        assert "Pulling" not in docker("run", "--rm", name, "true").err
        assert "up to date" in docker("run", "--rm", "--pull=always", name, "true").err
        docker("rmi", name)
        assert "No such image" in docker("run", "--rm", "--pull=never", name, "true", code=125).err
        docker("create", "--pull=missing", "--name", "made", name, "true")
        docker("rm", "made")


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed")
@pytest.mark.parametrize(
    ("form", "compression"), [("v2s2", "gzip"), ("oci", "gzip"), ("oci", "zstd")]
)
def test_skopeo_and_we_understand_each_other(engine, tmp_path, form, compression):
    with docker_registry(tmp_path) as address:
        name = f"{address}/app:ours"
        load(engine, layer("1"), layer("2"), tag=name)
        image_id = engine.api.get(f"/images/{name}/json").json["Id"]
        push(engine, name)
        copied = f"{address}/app:theirs"
        subprocess.run(
            ["skopeo", "copy", "--src-tls-verify=false", "--dest-tls-verify=false",
             "--format", form, "--dest-compress-format", compression, "--dest-compress",
             "--dest-decompress=false", f"docker://{name}", f"dir:{tmp_path}/copy"],
            check=True, capture_output=True,
        )  # fmt: skip
        subprocess.run(
            ["skopeo", "copy", "--dest-tls-verify=false", f"dir:{tmp_path}/copy",
             f"docker://{copied}"],
            check=True, capture_output=True,
        )  # fmt: skip
        remove_images(engine)
        assert pull(engine, copied)[-1]["status"].startswith("Status: Downloaded")
        image = engine.api.get(f"/images/{copied}/json").json
        assert image["RootFS"]["Layers"] == [sha256(layer("1")), sha256(layer("2"))]
        if form == "oci":
            assert image["Id"] == image_id


# ---- TLS -----------------------------------------------------------------------------


@contextlib.contextmanager
def certificates(address, **files):
    """Write files into this registry's directory in certs.d; underscores stand for dots."""
    root = Path("/etc/palan")
    existed = [path for path in (root, root / "certs.d") if path.exists()]
    directory = root / "certs.d" / address
    directory.mkdir(parents=True)
    try:
        for name, source in files.items():
            (directory / name.replace("_", ".")).write_bytes(source.read_bytes())
        yield
    finally:
        shutil.rmtree(directory)
        for path in (root / "certs.d", root):
            if path not in existed:
                path.rmdir()


def test_tls(engine, tmp_path):
    host = engine.address
    certificate, key = self_signed(tmp_path, name=f"IP:{host}")
    tls = f'tls: {{certificate: "{certificate}", key: "{key}", clientcas: ["{certificate}"]}}'
    # It demands a client certificate too: its own serves for that.
    with docker_registry(tmp_path, host=host, http=tls, mutual=(certificate, key)) as address:
        name = f"{address}/app:1"
        load(engine, layer(), tag=name)
        assert "certificate signed by unknown authority" in error(push(engine, name))
        with certificates(address, ca_crt=certificate):
            assert "tls: " in error(push(engine, name))
        with certificates(address, ca_crt=certificate, me_cert=certificate):
            assert "missing key me.key" in error(push(engine, name))
        with certificates(address, ca_crt=certificate, me_cert=certificate, me_key=key):
            assert "aux" in push(engine, name)[-1]
            remove_images(engine)
            assert pull(engine, name)[-1]["status"].startswith("Status: Downloaded")


def test_a_registry_of_loopback_that_wants_a_certificate(engine, tmp_path):
    """Its certificate is not verified, but it may demand one from the client."""
    certificate, key = self_signed(tmp_path)
    tls = f'tls: {{certificate: "{certificate}", key: "{key}", clientcas: ["{certificate}"]}}'
    with docker_registry(tmp_path, http=tls, mutual=(certificate, key)) as address:
        name = f"{address}/app:1"
        load(engine, layer(), tag=name)
        assert "error" in push(engine, name)[-1]
        with certificates(address, me_cert=certificate, me_key=key):
            assert "aux" in push(engine, name)[-1]
            remove_images(engine)
            assert pull(engine, name)[-1]["status"].startswith("Status: Downloaded")


def test_insecure_registries(engine, tmp_path):
    host = engine.address
    certificate, key = self_signed(tmp_path, name="DNS:somebody.else")
    tls = f'tls: {{certificate: "{certificate}", key: "{key}"}}'
    plain = tmp_path / "plain"
    plain.mkdir()
    with (
        docker_registry(tmp_path, host=host, http=tls) as address,
        docker_registry(plain, host=host) as unprotected,
    ):
        load(engine, layer(), tag=f"{address}/app:1")
        load(engine, layer(), tag=f"{unprotected}/app:1")
        assert "x509" in error(push(engine, f"{address}/app:1"))
        assert "HTTP response to HTTPS client" in error(push(engine, f"{unprotected}/app:1"))
        engine.configure(insecure_registries=[f"{host}/32"])
        assert "aux" in push(engine, f"{address}/app:1")[-1]
        assert "aux" in push(engine, f"{unprotected}/app:1")[-1]


# ---- passwords and tokens ------------------------------------------------------------


def told(engine):
    """Return everything that the engine has written to disk."""
    files = [engine.log, *(p for p in engine.data_root.rglob("*") if p.is_file())]
    since = engine.api.get(f"/events?since=1&until={time.time() - 0.01}").body
    return since + b"".join(path.read_bytes() for path in files)


def test_a_password(engine, docker, tmp_path):
    with docker_registry(tmp_path, authenticated=True) as address:
        name = f"{address}/app:1"
        load(engine, layer(), tag=name)
        assert "no basic auth credentials" in docker("push", name, code=1).err
        docker("login", "-u", USER, "--password-stdin", address, stdin=PASSWORD)
        docker("push", name)
        docker("rmi", name)
        docker("pull", name)
        docker("logout", address)
        docker("rmi", name)
        assert "access denied" in docker("pull", name, code=1).err
        wrong = header(username=USER, password="wrong", serveraddress=address)
        assert "401 Unauthorized" in pull(engine, name, headers=wrong).message
        other = header(username=USER, password=PASSWORD, serveraddress="other.example")
        assert "no basic auth credentials" in pull(engine, name, headers=other).message
        assert engine.api.get(f"/distribution/{name}/json").status == 500
        assert engine.api.get(f"/distribution/{name}/json", headers=GOOD).status == 200
    everything = told(engine)
    assert PASSWORD.encode() not in everything
    assert base64.b64encode(f"{USER}:{PASSWORD}".encode()).rstrip(b"=") not in everything


def test_tokens(engine, docker, tmp_path):
    tokens = TokenServer(tmp_path)
    with (
        serve(tokens) as server,
        docker_registry(tmp_path, more=tokens.configuration(server.url)) as address,
    ):
        name, public = f"{address}/team/app:1", f"{address}/public/app:1"
        load(engine, layer(), tag=name)
        assert "access denied" in docker("push", name, code=1).err
        docker("login", "-u", USER, "--password-stdin", address, stdin=PASSWORD)
        docker("push", name)
        docker("tag", name, public)
        assert "Mounted from team/app" in docker("push", public).out
        assert ["repository:public/app:pull,push", "repository:team/app:pull"] in tokens.asked
        docker("tag", name, f"{address}/secret/app:1")
        assert "access denied" in docker("push", f"{address}/secret/app:1", code=1).err
        remove_images(engine)
        docker("pull", name)
        docker("logout", address)
        refused = pull(engine, f"{address}/team/app", "1")
        assert refused.status == 404
        assert "pull access denied for" in refused.message
        assert pull(engine, public)[-1]["status"].startswith("Status: Downloaded")
    assert PASSWORD.encode() not in told(engine)


def test_tokens_that_end_are_fetched_again(engine):
    registry = FakeRegistry()
    layers = [layer(str(number)) for number in range(4)]
    given: list[str] = []

    def guard(request, _registry):
        if request.path.startswith("/token"):
            assert "refresh_token=identity" in request.body
            given.append(f"token{len(given)}")
            request.json(200, json.dumps({"access_token": given[-1]}))
            return True
        good = (
            "Bearer token1" if registry.seen[f"GET blobs/{sha256(layers[1])}"] else "Bearer token0"
        )
        if request.headers.get("Authorization") == good:
            return False
        realm = f'Bearer realm="{server.url}/token",service="s",error="invalid_token"'
        request.reply(401, WWW_Authenticate=realm)
        return True

    registry.faults.append(guard)
    with serve(registry) as server:
        registry.image("app", "1", *layers)
        lines = pull(engine, f"{server.address}/app:1", headers=header(identitytoken="identity"))
        assert lines[-1]["status"].startswith("Status: Downloaded"), lines
        assert given == ["token0", "token1"]


# ---- mirrors, proxies ----------------------------------------------------------------


def test_mirrors(engine):
    broken, good = FakeRegistry(), FakeRegistry()
    good.image("library/app", "1", layer())
    with serve(broken) as first, serve(good) as second:
        engine.configure(registry_mirrors=[f"{first.url}/", f"{second.url}/"])
        lines = pull(engine, "app:1", headers=header(username="u", password="hub-password"))
        assert lines[-1] == {"status": "Status: Downloaded newer image for app:1"}
        assert engine.api.get("/images/app:1/json").json["RepoTags"] == ["app:1"]
        digest = engine.api.get("/distribution/app:1/json").json["Descriptor"]["digest"]
        assert lines[-2] == {"status": f"Digest: {digest}"}
        for server in (first, second):
            assert server.requests
            assert not any("Authorization" in headers for _, _, headers, _ in server.requests)
        assert engine.api.get("/info").json["RegistryConfig"]["Mirrors"]


@pytest.mark.parametrize("what", ["manifest", "configuration", "layer"])
def test_bad_content_of_a_mirror_is_fetched_elsewhere(engine, what):
    lying, good = FakeRegistry(), FakeRegistry()
    for registry in (lying, good):
        registry.image("library/app", "1", layer())
    kind, manifest = good.manifests["library/app", "1"]
    if what == "manifest":
        lying.manifests["library/app", sha256(manifest)] = (kind, manifest + b" ")
    else:
        wrong = json.loads(manifest)["config"]["digest"] if what == "configuration" else ""
        wrong = wrong or sha256(layer())
        lying.blobs[wrong] = b"!" + lying.blobs[wrong][1:]
    with serve(lying) as first, serve(good) as second:
        engine.configure(registry_mirrors=[first.url, second.url])
        lines = pull(engine, "app:1")
        assert lines[-1] == {"status": "Status: Downloaded newer image for app:1"}
        assert lines[-2] == {"status": f"Digest: {sha256(manifest)}"}


def test_a_proxy():
    registry = FakeRegistry()
    registry.image("app", "1", layer())

    def proxy(request):
        if request.command == "CONNECT":
            request.reply(502)
            return
        assert request.path.startswith("http://")
        request.path = "/" + request.path.split("/", 3)[3]
        registry(request)

    with serve(proxy) as server, contextlib.ExitStack() as stack:
        user = server.url.replace("://", "://me:proxy-password@")
        engine = TestEngine(
            "--http-proxy", user, "--https-proxy", user, "--insecure-registry=registry.invalid:5000"
        )
        stack.callback(engine.close)
        engine.start()
        lines = pull(engine, "registry.invalid:5000/app:1")
        assert lines[-1]["status"].startswith("Status: Downloaded")
        assert server.requests[0][0] == "CONNECT"
        expected = base64.b64encode(b"me:proxy-password").decode()
        assert all(r[2]["Proxy-Authorization"] == f"Basic {expected}" for r in server.requests)
        assert b"proxy-password" not in told(engine)
        info = engine.api.get("/info").json
        shown = server.url.replace("://", "://xxxxx:xxxxx@")
        assert (info["HttpProxy"], info["HttpsProxy"]) == (shown, shown)


# ---- search --------------------------------------------------------------------------


def test_search(engine, docker):
    found = [
        {"name": "team/app", "description": "An app", "star_count": 5, "is_automated": True},
        {"name": "other", "description": "", "star_count": 0, "is_official": True},
    ]

    def answer(request):
        if request.path.startswith("/v1/search?"):
            request.json(200, json.dumps({"num_results": 2, "results": found}))
        else:
            request.reply(404)

    with serve(answer) as server:
        results = engine.api.get(f"/images/search?term={server.address}/app&limit=10").json
        assert [(r["name"], r["star_count"], r["is_automated"]) for r in results] == [
            ("team/app", 5, False), ("other", 0, False)
        ]  # fmt: skip
        assert server.requests[-1][1] == "/v1/search?q=app&n=10"
        assert "team/app" in docker("search", "--filter", "stars=3", f"{server.address}/app").out
        official = engine.api.get(
            f'/images/search?term={server.address}/app&filters={{"is-official":["true"]}}'
        ).json
        assert [r["name"] for r in official] == ["other"]
    for query in ("limit=101", 'filters={"stars":["x"]}', 'filters={"is-official":["x"]}'):
        assert engine.api.get(f"/images/search?term=127.0.0.1:1/x&{query}").status == 400
    assert engine.api.get("/images/search?term=127.0.0.1:1/x").status == 500
