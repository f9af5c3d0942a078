"""Messages of the swarm and of plugins, compared with dockerd's recorded requests and responses."""

import json
import re
from functools import cache
from typing import Any

import msgspec
from tests.support.contract import recorded_steps

from palan.api import configs, nodes, plugins, secrets, services, swarm, tasks


ANSWERS: dict[str, Any] = {
    r"GET /swarm": swarm.Swarm,
    r"GET /swarm/unlockkey": swarm.UnlockKeyResponse,
    r"GET /nodes": list[nodes.Node],
    r"GET /nodes/[^/]+": nodes.Node,
    r"GET /services": list[services.Service],
    r"GET /services/[^/]+": services.Service,
    r"POST /services/create": services.ServiceCreateResponse,
    r"POST /services/[^/]+/update": services.ServiceUpdateResponse,
    r"GET /tasks": list[tasks.Task],
    r"GET /tasks/[^/]+": tasks.Task,
    r"GET /secrets": list[secrets.Secret],
    r"GET /secrets/[^/]+": secrets.Secret,
    r"POST /secrets/create": secrets.SecretCreateResponse,
    r"GET /configs": list[configs.Config],
    r"GET /configs/[^/]+": configs.Config,
    r"POST /configs/create": configs.ConfigCreateResponse,
    r"GET /plugins": list[plugins.Plugin],
    r"GET /plugins/privileges": list[plugins.PluginPrivilege],
    r"GET /plugins/.+/json": plugins.Plugin,
}


def kind_of(request: str) -> Any:
    return next((kind for path, kind in ANSWERS.items() if re.fullmatch(path, request)), None)


@cache
def recorded() -> list[tuple[str, Any, Any]]:
    """Return (step, type, body) of every recorded response of these groups."""
    found = []
    for step in recorded_steps():
        if step["area"] not in ("swarm", "plugins"):
            continue
        request, response = step["request"], step["response"]
        path = request["target"].split("?")[0].removeprefix("/v1.55")
        kind = kind_of(f"{request['method']} {path}")
        if kind and response.get("form") == "json" and response["status"] < 300:
            found.append((step["step"], kind, response["body"]))
    return found


def test_answers_are_read_and_written_as_dockerd_wrote_them():
    assert len(recorded()) > 60
    for step, kind, body in recorded():
        again = json.loads(msgspec.json.encode(msgspec.convert(body, kind)))
        assert again == body, step


def test_every_kind_of_answer_was_recorded():
    seen = {repr(kind) for _, kind, _ in recorded()}
    assert seen == {repr(kind) for kind in ANSWERS.values()}
