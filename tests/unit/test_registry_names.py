"""Names of registries, insecure registries, proxies and redirects; no I/O."""

from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palan.api.errors import InvalidParameter
from palan.api.system import AuthConfig, AuthResponse
from palan.registry.credentials import Credentials
from palan.registry.failures import TransportError
from palan.registry.names import Endpoint, InsecureRegistries, endpoints, server_host, split_host
from palan.registry.proxies import Proxies, Proxy
from palan.registry.urls import origin_of, redacted, redirected, request_target


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("", "index.docker.io"),
        ("https://index.docker.io/v1/", "index.docker.io"),
        ("docker.io", "docker.io"),
        ("127.0.0.1:5056", "127.0.0.1:5056"),
        ("http://127.0.0.1:5056/v2/", "127.0.0.1:5056"),
        ("https://Registry.Example.com/v1/", "registry.example.com"),
        ("registry_1:5000/", "registry_1:5000"),
        ("[::1]:5000", "[::1]:5000"),
        ("[::1]", "[::1]"),
    ],
)
def test_the_host_of_a_server_address(address, host):
    assert server_host(address) == host


@pytest.mark.parametrize(
    "address",
    [
        "https://",
        "ftp://example.com",
        "user:secret@example.com",
        "https://user:secret@example.com/v2/",
        "a b",
        "example.com:99999",
        "example.com:port",
        "[nothing]",
        "evil\r\nHost: x",
        "::1",
    ],
)
def test_server_addresses_without_a_host_are_refused(address):
    with pytest.raises(InvalidParameter) as caught:
        server_host(address)
    assert "unable to parse server address" in caught.value.message
    assert "secret" not in caught.value.message


@given(st.text())
def test_any_server_address_has_a_host_or_is_refused(address):
    try:
        host = server_host(address)
    except InvalidParameter:
        return
    name, _port = split_host(host)
    assert name
    assert not set(host) & set("/@ \r\n?#")


def test_docker_hub_has_its_own_server_and_always_tls():
    hub = Endpoint("https", "registry-1.docker.io")
    for name in ("docker.io", "index.docker.io"):
        assert endpoints(name, insecure=lambda _host: True) == (hub,)
    mirrors = ["http://127.0.0.1:5000/hub/", "https://mirror.example.com"]
    assert endpoints("docker.io", insecure=InsecureRegistries(), mirrors=mirrors) == (
        Endpoint("http", "127.0.0.1:5000", verify=False, mirror=True, path="/hub"),
        Endpoint("https", "mirror.example.com", mirror=True),
        hub,
    )
    assert hub.base == "https://registry-1.docker.io/v2/"


def test_only_insecure_registries_are_tried_without_tls():
    insecure = InsecureRegistries()
    assert endpoints("127.0.0.1:5000", insecure=insecure) == (
        Endpoint("https", "127.0.0.1:5000", verify=False),
        Endpoint("http", "127.0.0.1:5000", verify=False),
    )
    assert endpoints("a.example", insecure=insecure) == (Endpoint("https", "a.example"),)


def test_insecure_registries():
    names = {"in.example": ["10.1.2.3"], "out.example": ["192.0.2.1"], "six.example": ["::1"]}
    insecure = InsecureRegistries(
        ["plain.example:5000", "Host.example", "10.0.0.7/8", "fd00::/8"],
        lambda name: names.get(name, ()),
    )
    yes = [
        "127.9.9.9", "127.0.0.1:5000", "[::1]:5000", "localhost", "localhost:80", "10.3.2.1:1",
        "[::ffff:10.0.0.1]:5000", "[fd12::1]", "plain.example:5000", "PLAIN.example:5000",
        "host.example", "in.example", "in.example:443", "six.example",
    ]  # fmt: skip
    no = [
        "128.0.0.1", "plain.example", "plain.example:5001", "host.example:5000", "out.example",
        "unknown.example", "docker.io", "index.docker.io", "localhost.example", "11.0.0.1",
    ]  # fmt: skip
    assert [host for host in yes if not insecure(host)] == []
    assert [host for host in no if insecure(host)] == []


def test_credentials_do_not_appear_in_repr():
    auth = AuthConfig(
        username="me", password="pa55", identity_token="id3", registry_token="r3g", auth="a0th"
    )
    credentials = Credentials.of(auth)
    texts = [repr(auth), str(auth), repr(credentials)]
    texts.append(repr(AuthResponse(status="x", identity_token="id3")))
    assert not [t for t in texts for secret in ("pa55", "id3", "r3g", "a0th") if secret in t]
    assert "me" in repr(credentials)


def test_credentials_as_one_base64_string():
    assert Credentials.of(AuthConfig(auth="bWU6YTpi")) == Credentials("me", "a:b")
    for malformed in ("no base64", "Ú", "/w=="):
        with pytest.raises(InvalidParameter):
            Credentials.of(AuthConfig(auth=malformed))
    with pytest.raises(InvalidParameter) as caught:
        Credentials.of(AuthConfig(registry_token="s3cret\r\nX: y"))
    assert "s3cret" not in caught.value.message


_SECRETS = st.text("pqrs +&", min_size=3, max_size=9)


@given(_SECRETS, _SECRETS, st.text("abc"), st.text("abc"))
def test_secrets_that_a_server_repeats_are_redacted(password, token, before, after):
    credentials = Credentials("me", password, token)
    said = f"{before}|{password}|{after}|{token}|{quote_plus(token)}|{credentials.basic}"
    assert credentials.redact(said) == f"{before}|xxxxx|{after}|xxxxx|xxxxx|Basic xxxxx"


def test_proxies_from_the_environment():
    proxies = Proxies.configured(
        {"https_proxy": "http://me:s3%40cret@proxy.example:3128", "HTTP_PROXY": "proxy2:8080"},
        no_proxy="direct.example, .sub.example,10.0.0.0/8,port.example:5000,192.0.2.1",
    )
    through = Proxy("proxy.example", 3128, "Basic bWU6czNAY3JldA==")
    assert proxies.for_server("https", "a.example", 443) == through
    assert proxies.for_server("http", "a.example", 80) == Proxy("proxy2", 8080)
    assert proxies.for_server("https", "port.example", 443) == through
    assert proxies.for_server("https", "sub.example", 443) == through
    for host in ("direct.example", "x.direct.example", "y.sub.example", "10.9.9.9", "192.0.2.1"):
        assert proxies.for_server("https", host, 443) is None
    assert proxies.for_server("https", "port.example", 5000) is None
    for host in ("localhost", "127.0.0.9", "::1"):
        assert proxies.for_server("https", host, 443) is None
    assert "s3" not in repr(proxies)
    assert "bWU6" not in repr(through)


def test_no_proxy_and_unsupported_proxies():
    assert Proxies(https="http://p", no_proxy="*").for_server("https", "a.example", 443) is None
    assert Proxies().for_server("https", "a.example", 443) is None
    for url in ("socks5://u:s3cret@p:1", "http://:80", "http://u:s3cret@p:x"):
        with pytest.raises(ValueError, match=r"prox(y|ies)") as caught:
            Proxies(https=url).for_server("https", "a.example", 443)
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("location", "target", "same"),
    [
        ("/v2/x?y=1", "https://r.example/v2/x?y=1", True),
        ("https://r.example:443/z", "https://r.example:443/z", True),
        ("https://r.example:8443/", "https://r.example:8443/", True),
        ("https://cdn.example/blob?sig=%41", "https://cdn.example/blob?sig=%41", False),
        ("//cdn.example/b", "https://cdn.example/b", False),
        ("/with space", "https://r.example/with%20space", True),
        ("http://127.0.0.1:9000/b", "http://127.0.0.1:9000/b", False),
    ],
)
def test_redirects_that_are_followed(location, target, same):
    assert redirected("https://r.example/v2/", location, InsecureRegistries()) == (target, same)


@pytest.mark.parametrize(
    "location",
    ["http://r.example/v2/", "http://169.254.169.254/", "file:///etc/passwd", "https://[",
     "https://a\\@b/", "https://u:p@r.example/"],
)  # fmt: skip
def test_redirects_that_are_refused(location):
    with pytest.raises(TransportError):
        redirected("https://r.example/v2/", location, InsecureRegistries())


@given(st.text())
def test_any_redirect_is_followed_or_refused(location):
    try:
        target, _same = redirected("http://r.example/v2/", location, InsecureRegistries())
    except TransportError:
        return
    origin_of(target)
    assert request_target(target).startswith("/")


def test_urls_are_redacted():
    assert redacted("https://u:p@r.example:1/v2/?token=x#y") == "https://r.example:1/v2/"
    assert origin_of("https://[::1]:5000/v2/").address == "[::1]:5000"
