"""A token server for docker-registry, and the certificate that its tokens are signed with."""

import base64
import json
import subprocess
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.support.registry import PASSWORD, USER, Handler


class TokenServer:
    """Issues tokens to :data:`USER`; pass it as the ``answer`` of ``serve``.

    Everybody may pull from ``public/...``, nobody from ``secret/...``; the rest is the user's.
    """

    def __init__(self, folder: Path) -> None:
        self._key = folder / "token.key"
        self.certificate = folder / "token.pem"
        self.asked: list[list[str]] = []
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=tokens",
             "-days", "1", "-keyout", str(self._key), "-out", str(self.certificate)],
            check=True, capture_output=True,
        )  # fmt: skip

    def configuration(self, realm: str) -> str:
        """Return the section of docker-registry's configuration for this token server."""
        return (
            f'auth: {{token: {{realm: "{realm}/token", service: tests, issuer: tests,'
            f' rootcertbundle: "{self.certificate}"}}}}\n'
        )

    def __call__(self, request: Handler) -> None:
        expected = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        authorization = request.headers.get("Authorization", "")
        if authorization and authorization != f"Basic {expected}":
            request.json(401, '{"errors": [{"code": "UNAUTHORIZED", "message": "wrong"}]}')
            return
        scopes = parse_qs(urlsplit(request.path).query).get("scope", [])
        self.asked.append(scopes)
        access = [entry for scope in scopes for entry in self._allowed(scope, bool(authorization))]
        request.json(200, json.dumps({"token": self._token(access), "expires_in": 300}))

    def _allowed(self, scope: str, known: bool) -> list[dict[str, object]]:
        kind, _, rest = scope.partition(":")
        name, _, actions = rest.rpartition(":")
        allowed = actions.split(",")
        if name.startswith("secret/"):
            allowed = []
        elif not known:
            allowed = [each for each in allowed if each == "pull" and name.startswith("public/")]
        return [{"type": kind, "name": name, "actions": allowed}] if allowed else []

    def _token(self, access: list[dict[str, object]]) -> str:
        lines = self.certificate.read_text().splitlines()
        now = int(time.time())
        head = {"typ": "JWT", "alg": "RS256", "x5c": ["".join(lines[1:-1])]}
        claims = {
            "iss": "tests", "aud": "tests", "sub": USER, "jti": str(now), "access": access,
            "iat": now - 5, "nbf": now - 5, "exp": now + 300,
        }  # fmt: skip
        signed = b".".join(_encoded(json.dumps(part).encode()) for part in (head, claims))
        signature = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", str(self._key)],
            input=signed, check=True, capture_output=True,
        ).stdout  # fmt: skip
        return (signed + b"." + _encoded(signature)).decode()


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
