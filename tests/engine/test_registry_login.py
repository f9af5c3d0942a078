"""Login to registries: real ones, ones with a token server, and ones with faults."""

import asyncio
import http.client
import json
import socket
import subprocess
import sys
import time
import traceback
from base64 import b64encode
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.support.registry import PASSWORD, USER, docker_registry, self_signed, serve

from palan.api._base import UNSET
from palan.api.errors import Forbidden, InternalError, InvalidParameter, PalanError, Unauthorized
from palan.api.system import AuthConfig
from palan.engine.config import EngineConfig
from palan.registry.dial import Aborter
from palan.registry.failures import ConnectionBroken, TransportError
from palan.registry.login import login
from palan.registry.names import InsecureRegistries
from palan.registry.proxies import Proxies
from palan.registry.tls import tls_context
from palan.registry.tokens import TooManyRequests
from palan.registry.transport import Transport


LOOPBACK = InsecureRegistries()
BASIC = "Basic " + b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def auth(server, *, username=USER, password=PASSWORD, **rest):
    return AuthConfig(username=username, password=password, server_address=server, **rest)


async def refused(server, *, kind=InternalError, insecure=LOOPBACK, credentials=None, **options):
    """Return the message of a login that must fail with exactly this kind of error."""
    with pytest.raises(PalanError) as caught:
        await login(credentials or auth(server), insecure=insecure, **options)
    assert type(caught.value) is kind, caught.value
    # Error messages must not contain secrets, whatever their origin.
    told = "".join(traceback.format_exception(caught.value))
    assert PASSWORD not in told
    assert BASIC[6:] not in told
    return caught.value.message


# ---- Debian's docker-registry ---------------------------------------------------


@pytest.fixture(scope="module")
def open_registry(tmp_path_factory):
    with docker_registry(tmp_path_factory.mktemp("open")) as address:
        yield address


@pytest.fixture(scope="module")
def closed_registry(tmp_path_factory):
    with docker_registry(tmp_path_factory.mktemp("closed"), authenticated=True) as address:
        yield address


async def test_a_registry_without_authentication_lets_anybody_in(open_registry):
    answer = await login(auth(open_registry, username="x", password="y"), insecure=LOOPBACK)
    assert (answer.status, answer.identity_token) == ("Login Succeeded", UNSET)


@pytest.mark.parametrize("form", ["{}", "http://{}/v2/", "https://{}/v1/", "{}/"])
async def test_a_good_password(closed_registry, form):
    answer = await login(auth(form.format(closed_registry)), insecure=LOOPBACK)
    assert (answer.status, answer.identity_token) == ("Login Succeeded", UNSET)


async def test_name_and_password_in_one_string(closed_registry):
    credentials = AuthConfig(auth=BASIC[6:], server_address=closed_registry)
    assert (await login(credentials, insecure=LOOPBACK)).status == "Login Succeeded"


async def test_a_wrong_password_is_reported_in_dockerds_words(closed_registry):
    message = await refused(closed_registry, credentials=auth(closed_registry, password="wrong"))
    assert message == (
        f"login attempt to http://{closed_registry}/v2/ failed with status: 401 Unauthorized"
    )


async def test_no_password_at_all(closed_registry):
    message = await refused(closed_registry, credentials=auth(closed_registry, password=""))
    assert message == f'Get "http://{closed_registry}/v2/": no basic auth credentials'


async def test_a_registry_that_must_have_tls_but_lacks_it(closed_registry):
    message = await refused(closed_registry, insecure=lambda _host: False)
    assert message == (
        f'Get "https://{closed_registry}/v2/": http: server gave HTTP response to HTTPS client'
    )


async def test_the_engine_logs_in_as_it_is_configured(closed_registry, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")  # not for loopback
    from palan.engine.system.login import login as engine_login

    config = EngineConfig(insecure_registries=("10.0.0.0/8",))
    assert (await engine_login(config, auth(closed_registry))).status == "Login Succeeded"


def test_an_engine_does_not_import_the_client_before_it_is_used():
    code = (
        "import sys, palan.engine.system.login;"
        "print([m for m in sys.modules if m.startswith('palan.registry')])"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout == "[]\n"


# ---- unreachable and invalid registries --------------------------------------------


async def test_nobody_is_there():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        message = await refused(address)
        assert message == (
            f'Get "http://{address}/v2/": dial tcp {address}: connect: connection refused'
        )
        message = await refused(address, insecure=lambda _host: False)
        assert message.startswith(f'Get "https://{address}/v2/": dial tcp {address}: connect: ')


async def test_a_name_that_does_not_exist():
    message = await refused("registry.invalid", insecure=lambda _host: False)
    assert message == (
        'Get "https://registry.invalid/v2/": dial tcp: lookup registry.invalid: no such host'
    )


async def test_an_invalid_address():
    await refused("not a host", kind=InvalidParameter)


async def test_a_server_that_never_answers():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        message = await refused(address, timeout=0.2)
    assert message == (
        f'Get "http://{address}/v2/": net/http: request canceled '
        "(Client.Timeout exceeded while awaiting headers)"
    )


async def test_a_server_that_answers_drop_by_drop_is_given_up():
    def trickle(handler):
        while True:
            handler.wfile.write(b"H")
            time.sleep(0.05)

    with serve(trickle) as server:
        started = time.monotonic()
        message = await refused(server.address, timeout=0.15)
        assert time.monotonic() - started < 5
    assert "context deadline exceeded" in message


async def test_a_client_that_goes_away_ends_the_thread():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        task = asyncio.create_task(login(auth(address), insecure=LOOPBACK, timeout=60))
        connection, _peer = await asyncio.to_thread(silent.accept)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        connection.settimeout(5)
        # The TLS hello, and then the end: the client has closed the connection.
        while await asyncio.to_thread(connection.recv, 65536):
            pass
        connection.close()


async def test_a_server_that_is_no_registry():
    with serve(lambda handler: handler.reply(404)) as server:
        message = await refused(server.address)
    assert message == f"login attempt to {server.url}/v2/ failed with status: 404 Not Found"


async def test_a_server_that_does_not_speak_http():
    def rave(handler):
        handler.wfile.write(b"220 smtp.example ESMTP\r\n")
        handler.close_connection = True

    with serve(rave) as server:
        assert "malformed HTTP response" in await refused(server.address)


# ---- bearer tokens --------------------------------------------------------------------


class TokenRegistry:
    """A registry with its token server; it accepts the tests' user or ``identity``."""

    def __init__(self):
        self.challenge = 'Bearer realm="{url}/token?extra=1",service="tests",scope="registry:x:*"'
        self.answer = {"token": "t0ken", "expires_in": 300}
        self.refusal = (401, json.dumps({"details": "incorrect username or password"}))

    def __call__(self, handler):
        if handler.path == "/v2/":
            if handler.headers["Authorization"] == "Bearer t0ken":
                handler.reply(200, "{}")
            else:
                challenge = self.challenge.format(url=handler.server.url)
                handler.reply(401, "{}", WWW_Authenticate=challenge)
        elif handler.command == "POST":
            form = parse_qs(handler.body)
            good = form["refresh_token"] == ["identity"] and form["grant_type"] == ["refresh_token"]
            handler.json(*((200, json.dumps(self.answer)) if good else self.refusal))
        else:
            good = handler.headers["Authorization"] == BASIC
            handler.json(*((200, json.dumps(self.answer)) if good else self.refusal))


@pytest.fixture
def tokens():
    return TokenRegistry()


async def test_a_password_buys_a_token(tokens):
    with serve(tokens) as server:
        answer = await login(auth(server.address), insecure=LOOPBACK)
    assert (answer.status, answer.identity_token) == ("Login Succeeded", UNSET)
    [asked] = [path for _method, path, _headers, _body in server.requests if "/token" in path]
    assert parse_qs(urlsplit(asked).query) == {
        "extra": ["1"],
        "service": ["tests"],
        "offline_token": ["true"],
        "client_id": ["docker"],
        "account": [USER],
    }
    assert [path for _method, path, _headers, _body in server.requests] == ["/v2/", asked, "/v2/"]


async def test_an_identity_token_is_handed_on(tokens):
    tokens.answer = {"access_token": "t0ken", "refresh_token": "identity"}
    with serve(tokens) as server:
        answer = await login(auth(server.address), insecure=LOOPBACK)
    assert answer.identity_token == "identity"


async def test_an_identity_token_buys_a_token(tokens):
    tokens.answer = {"access_token": "t0ken"}
    with serve(tokens) as server:
        credentials = AuthConfig(identity_token="identity", server_address=server.address)
        answer = await login(credentials, insecure=LOOPBACK)
    assert answer.identity_token == "identity"
    [(_method, path, headers, body)] = [r for r in server.requests if r[0] == "POST"]
    assert path == "/token?extra=1"
    assert "Authorization" not in headers
    assert parse_qs(body)["client_id"] == ["docker"]


async def test_a_registry_token_goes_as_it_is(tokens):
    with serve(tokens) as server:
        for token, good in (("t0ken", True), ("other", False)):
            credentials = AuthConfig(registry_token=token, server_address=server.address)
            if good:
                await login(credentials, insecure=LOOPBACK)
            else:
                assert "401 Unauthorized" in await refused("", credentials=credentials)
    assert {path for _method, path, _headers, _body in server.requests} == {"/v2/"}


@pytest.mark.parametrize(
    ("refusal", "kind", "message"),
    [
        (None, Unauthorized, "unauthorized: incorrect username or password"),
        ((401, ""), Unauthorized, "unauthorized: authentication required"),
        ((403, '{"details": "no"}'), Forbidden, "denied: no"),
        (
            (400, '{"errors": [{"code": "UNAUTHORIZED", "message": "a\\nb", "detail": null}]}'),
            Unauthorized,
            "unauthorized: a b",
        ),
        ((429, '{"details": "slow down"}'), TooManyRequests, "unknown: slow down"),
        ((404, '{"errors": []}'), InternalError, "unknown"),
        ((503, "x"), InternalError, "received unexpected HTTP status: 503 Service Unavailable"),
        (
            (401, json.dumps({"details": f"not {PASSWORD}, {BASIC}"})),
            Unauthorized,
            "unauthorized: not xxxxx, Basic xxxxx",
        ),
    ],
)
async def test_refusals_of_a_token_server(tokens, refusal, kind, message):
    def answer(handler):
        # Valid credentials, so that the messages can be searched for them.
        if handler.path.startswith("/token"):
            handler.json(*(refusal or tokens.refusal))
        else:
            tokens(handler)

    with serve(answer) as server:
        told = await refused(server.address, kind=kind)
    assert told == f'Get "{server.url}/v2/": {message}'


@pytest.mark.parametrize(
    ("challenge", "answer", "message"),
    [
        ('Bearer service="x"', None, "no realm specified for token auth challenge"),
        ('Bearer realm="/token"', None, "invalid token auth challenge realm"),
        ('Bearer realm="file:///etc/passwd"', None, "invalid token auth challenge realm"),
        (None, {}, "authorization server did not include a token in the response"),
        (None, {"token": "a\r\nb"}, "authorization server did not include a token"),
        (None, {"token": 5}, "unable to decode token response"),
        (None, {"token": "other"}, "failed with status: 401 Unauthorized"),
        ('Negotiate, Digest realm="x"', None, "failed with status: 401 Unauthorized"),
    ],
)
async def test_token_servers_that_make_no_sense(tokens, challenge, answer, message):
    tokens.challenge = challenge or tokens.challenge
    tokens.answer = tokens.answer if answer is None else answer
    with serve(tokens) as server:
        assert message in await refused(server.address)


async def test_a_token_server_that_floods(tokens):
    tokens.answer = {"token": "t0ken", "junk": "x" * 2_000_000}
    with serve(tokens) as server:
        message = await refused(server.address)
    assert message.endswith("the answer exceeds 1048576 bytes")
    assert "account=" not in message


# ---- TLS ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return self_signed(tmp_path_factory.mktemp("tls"))


def never(_host):
    return False


async def test_a_self_signed_certificate_is_refused_clearly(tokens, certificate):
    with serve(tokens, certificate=certificate) as server:
        message = await refused(server.address, insecure=never)
    assert message.startswith(
        f'Get "https://{server.address}/v2/": tls: failed to verify certificate: '
        "x509: certificate signed by unknown authority"
    )
    assert f"/etc/docker/certs.d/{server.address}/ca.crt" in message
    assert server.requests == []


async def test_a_self_signed_certificate_that_is_known_is_good(tokens, certificate, tmp_path):
    with serve(tokens, certificate=certificate) as server:
        (tmp_path / server.address).mkdir()
        (tmp_path / server.address / "ca.crt").write_bytes(certificate[0].read_bytes())
        answer = await login(auth(server.address), insecure=never, certificates=[tmp_path])
        assert answer.status == "Login Succeeded"
        (tmp_path / server.address / "client.cert").touch()
        message = await refused(server.address, insecure=never, certificates=[tmp_path])
        assert "missing key client.key for client certificate" in message


async def test_an_insecure_registry_may_have_any_certificate(tokens, certificate):
    with serve(tokens, certificate=certificate) as server:
        assert (await login(auth(server.address), insecure=LOOPBACK)).status == "Login Succeeded"


async def test_a_certificate_for_another_name(tokens, tmp_path):
    certificate = self_signed(tmp_path, name="DNS:other.example")
    with serve(tokens, certificate=certificate) as server:
        (tmp_path / server.address).mkdir()
        (tmp_path / server.address / "ca.crt").write_bytes(certificate[0].read_bytes())
        message = await refused(server.address, insecure=never, certificates=[tmp_path])
    assert f"x509: certificate is not valid for {server.address}" in message


async def test_a_wrong_password_over_tls_is_not_shown_to_plain_http(certificate):
    def basic(handler):
        handler.reply(401, WWW_Authenticate='Basic realm="x"')

    with serve(basic, certificate=certificate) as server:
        message = await refused(server.address)
    assert message == f"login attempt to {server.url}/v2/ failed with status: 401 Unauthorized"


async def test_a_token_server_without_tls_receives_no_credentials(tokens, certificate, tmp_path):
    with serve(tokens) as plain, serve(tokens, certificate=certificate) as server:
        tokens.challenge = f'Bearer realm="{plain.url}/token"'
        (tmp_path / server.address).mkdir()
        (tmp_path / server.address / "ca.crt").write_bytes(certificate[0].read_bytes())
        message = await refused(server.address, insecure=never, certificates=[tmp_path])
        assert plain.requests == []
    assert "without TLS, where credentials would be readable" in message


# ---- redirects, proxies, connections ---------------------------------------------------------


async def test_credentials_do_not_follow_to_another_host(tokens):
    def elsewhere(handler):
        port = other.server_address[1]
        handler.reply(307, Location=f"http://localhost:{port}{handler.path}")

    tokens.challenge = 'Basic realm="x"'
    with serve(tokens) as other, serve(elsewhere) as server:
        message = await refused(server.address)
    assert message == f"login attempt to {server.url}/v2/ failed with status: 401 Unauthorized"
    assert [headers.get("Authorization") for _m, _p, headers, _b in server.requests] == [
        None,
        BASIC,
    ]
    assert [headers.get("Authorization") for _m, _p, headers, _b in other.requests] == [None, None]


async def test_redirects_end():
    with serve(lambda handler: handler.reply(302, Location="/v2/")) as server:
        assert "stopped after 10 redirects" in await refused(server.address)
    with serve(lambda handler: handler.reply(302, Location="http://192.0.2.1/v2/")) as server:
        assert "without TLS" in await refused(server.address)


async def test_from_plain_http_to_tls_on_the_same_host(tokens, certificate):
    with serve(tokens, certificate=certificate) as secure:
        with serve(lambda handler: handler.reply(301, Location=f"{secure.url}/v2/")) as plain:
            await login(auth(plain.address), insecure=LOOPBACK)
        assert [headers.get("Authorization") for _m, _p, headers, _b in plain.requests] == [None]


SECRET = "Basic bWU6cHIweHk="


def behind(server):
    """Return the proxies of a transport that sends through a server."""
    url = server.url.replace("//", "//me:pr0xy@")
    return Proxies(url, url)


def test_plain_requests_through_a_proxy():
    with (
        serve(lambda handler: handler.reply(200, "from the proxy")) as proxy,
        Transport(proxies=behind(proxy)) as transport,
        transport.open("GET", "http://registry.example/v2/?n=1") as response,
    ):
        assert response.body(100) == b"from the proxy"
    [(method, path, headers, _body)] = proxy.requests
    assert (method, path) == ("GET", "http://registry.example:80/v2/?n=1")
    assert headers["Proxy-Authorization"] == SECRET
    assert headers["Host"] == "registry.example:80"


def test_tls_through_a_tunnel(certificate):
    def tunnel(handler):
        handler.send_response(200)
        handler.end_headers()
        handler.relay(server.server_address[1])

    with (
        serve(lambda handler: handler.reply(200, "ok"), certificate=certificate) as server,
        serve(tunnel) as proxy,
        Transport(
            proxies=behind(proxy), tls=lambda: tls_context("registry.example", verify=False)
        ) as transport,
    ):
        for _ in range(2):
            with transport.open("GET", "https://registry.example/v2/") as response:
                assert response.body(100) == b"ok"
    [(method, path, headers, _body)] = proxy.requests
    assert (method, path) == ("CONNECT", "registry.example:443")
    assert headers["Proxy-Authorization"] == SECRET
    assert [(path, headers["Host"]) for _m, path, headers, _b in server.requests] == [
        ("/v2/", "registry.example")
    ] * 2
    assert not [headers for _m, _p, headers, _b in server.requests if SECRET in headers.values()]


def test_a_proxy_that_refuses():
    with (
        serve(lambda handler: handler.reply(403)) as proxy,
        Transport(proxies=behind(proxy)) as transport,
        pytest.raises(TransportError, match=r"proxyconnect tcp: .* status 403") as caught,
    ):
        transport.open("GET", "https://registry.example/v2/")
    assert "pr0xy" not in str(caught.value)


def test_connections_are_kept_and_stale_ones_replaced():
    peers = []

    def answer(handler):
        peers.append(handler.client_address)
        handler.reply(200, "x" * 10)
        # Kept alive by its headers, but closed, as by a server's idle timeout.
        handler.close_connection = len(peers) == 2

    with serve(answer) as server, Transport() as transport:
        for _ in range(4):
            with transport.open("GET", f"{server.url}/v2/") as response:
                assert response.status == 200
            time.sleep(0.05)
    assert peers[0] == peers[1] != peers[2] == peers[3]


def test_a_body_that_breaks_off():
    def answer(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        handler.close_connection = True

    with (
        serve(answer) as server,
        Transport() as transport,
        transport.open("GET", f"{server.url}/v2/") as response,
        pytest.raises(TransportError, match="unexpected EOF"),
    ):
        response.body(100)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Len",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_head_that_breaks_off(method, head):
    def answer(handler):
        handler.wfile.write(head)
        handler.close_connection = True

    with (
        serve(answer) as server,
        Transport() as transport,
        pytest.raises(ConnectionBroken, match="unexpected EOF"),
    ):
        transport.open(method, f"{server.url}/v2/")


def test_an_aborted_transport_sends_no_requests():
    aborter = Aborter()
    aborter.abort()
    with (
        serve(lambda handler: handler.reply(200)) as server,
        Transport(aborter=aborter) as transport,
        pytest.raises(TransportError, match="request canceled"),
    ):
        transport.open("GET", f"{server.url}/v2/")
    assert server.requests == []


# ---- through the API ----------------------------------------------------------------------------


@pytest.mark.root
def test_over_the_api(engine, closed_registry):
    body = {"username": USER, "password": PASSWORD, "serveraddress": closed_registry}
    answer = engine.api.post("/auth", body)
    assert (answer.status, answer.json) == (200, {"Status": "Login Succeeded"})
    answer = engine.api.post("/auth", {**body, "password": "s3cret"})
    assert answer.status == http.client.INTERNAL_SERVER_ERROR
    assert answer.message == (
        f"login attempt to http://{closed_registry}/v2/ failed with status: 401 Unauthorized"
    )
    log = engine.log.read_text()
    assert PASSWORD not in log
    assert "s3cret" not in log
