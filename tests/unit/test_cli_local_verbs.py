"""Verbs for the files in docker's configuration directory: contexts and credentials."""

import io
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_engine import answering, fake_engine, json_answer

from palan.cli import main
from palan.client import errors
from palan.client._config_file import change_config, erase_credentials, store_credentials
from palan.client._credentials import Credentials
from palan.client._environment import Environment


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "docker"
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_API_VERSION", "DOCKER_AUTH_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(directory))
    return directory


def config(home: Path) -> Any:
    return json.loads((home / "config.json").read_text())


def test_contexts(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*words: str, status: int = 0) -> str:
        assert main(["context", *words]) == status
        return capsys.readouterr().out

    for name in ("ca", "cert", "key"):
        (tmp_path / name).write_text(name)
    assert run("show") == "default\n"
    options = ",".join(f"{name}={tmp_path / name}" for name in ("ca", "cert", "key"))
    run("create", "far", "--docker", f"host=tcp://h:2376,{options}", "--description", "away")
    run("create", "far", "--docker", "host=tcp://h:1", status=1)
    run("create", "default", "--docker", "host=tcp://h:1", status=1)
    run("create", "no", "--docker", "host=ftp://h", status=1)
    run("create", "no", "--docker", "port=1", status=125)
    key = next(home.glob("contexts/tls/*/docker/key.pem"))
    assert (key.read_text(), stat.S_IMODE(key.stat().st_mode)) == ("key", 0o600)
    assert run("use", "far") == "far\n"
    assert config(home) == {"currentContext": "far"}
    assert run("show") == "far\n"
    assert run("ls", "--format", "{{.Name}} {{.Current}} {{.DockerEndpoint}}") == (
        "default false unix:///var/run/docker.sock\nfar true tcp://h:2376\n"
    )
    assert "far *" in run("ls")
    (found,) = json.loads(run("inspect"))
    assert found["TLSMaterial"] == {"docker": ["ca.pem", "cert.pem", "key.pem"]}
    run("create", "near", "--from", "far")
    assert len(list(home.glob("contexts/tls/*/docker/key.pem"))) == 2
    run("update", "near", "--docker", "host=unix:///x")
    assert run("inspect", "near", "-f", "{{.Endpoints.docker.Host}} {{.Metadata.Description}}") == (
        "unix:///x away\n"
    )
    run("rm", "far", status=1)
    run("rm", "default", "nobody", status=1)
    run("rm", "-f", "far", "near")
    assert run("ls", "-q") == "default\n"
    assert config(home) == {}
    run("use", "nobody", status=1)


def test_login_and_logout(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home.mkdir()
    (home / "config.json").write_text('{"psFormat": "x", "auths": {"other:1": {"auth": "YTpi"}}}')
    said = b'{"Status": "Login Succeeded", "IdentityToken": ""}'
    answer = json_answer(said, headers="Api-Version: 1.41\r\n")
    with fake_engine(tmp_path / "engine.sock", answering(answer, keep=True)) as engine:
        monkeypatch.setattr("sys.stdin", io.StringIO("secret\n"))
        words = ["-H", engine.url, "login", "-u", "me", "--password-stdin", "reg.example:5000"]
        assert main(words) == 0
        assert "Login Succeeded" in capsys.readouterr().out
        assert main(["-H", engine.url, "login", "--password-stdin", "x:1"]) == 1
    assert config(home)["psFormat"] == "x"
    assert config(home)["auths"]["reg.example:5000"] == {"auth": "bWU6c2VjcmV0"}
    assert stat.S_IMODE((home / "config.json").stat().st_mode) & 0o077 == 0o044
    assert main(["logout", "https://reg.example:5000/"]) == 0
    assert config(home)["auths"] == {"other:1": {"auth": "YTpi"}}


def test_credentials_go_to_the_helper_that_is_for_them(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    helper = programs / "docker-credential-script"
    helper.write_text(f'#!/bin/sh\necho "$1 $(cat)" >> {tmp_path}/asked\n')
    helper.chmod(0o755)
    (tmp_path / "config.json").write_text('{"credHelpers": {"reg:1": "script"}}')
    environment = Environment({"DOCKER_CONFIG": str(tmp_path), "PATH": f"{programs}:/usr/bin:/bin"})
    assert store_credentials(environment, "reg:1", "me", "pw", is_token=False) is None
    assert store_credentials(environment, "reg:2", "me", "tok", is_token=True) is not None
    erase_credentials(environment, "reg:1")
    stored, erased = (tmp_path / "asked").read_text().splitlines()
    assert json.loads(stored.removeprefix("store ")) == {
        "ServerURL": "reg:1", "Username": "me", "Secret": "pw",
    }  # fmt: skip
    assert erased == "erase reg:1"
    found = Credentials(config(tmp_path), {}).get("reg:2")
    assert found is not None
    assert (found.username, found.password, found.identity_token) == ("me", "", "tok")


def test_a_configuration_is_changed_in_one_step_and_where_it_is(tmp_path: Path) -> None:
    real = tmp_path / "real.json"
    real.write_text('{"a": 1}')
    (tmp_path / "config.json").symlink_to(real)
    environment = Environment({"DOCKER_CONFIG": str(tmp_path)})
    change_config(environment, lambda document: document.update(b=2))
    assert json.loads(real.read_text()) == {"a": 1, "b": 2}
    assert (tmp_path / "config.json").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "real.json"]
    broken = Environment({"DOCKER_CONFIG": str(real / "below")})
    with pytest.raises(errors.ConfigError):
        change_config(broken, dict.clear)
