"""The palan command: subcommands, flags, --validate."""

import json

import pytest

from palan import __version__
from palan.api.version import MAX_VERSION
from palan.cli import main
from palan.cli.flags import parse_flags


def test_without_a_command_it_shows_how(capsys):
    assert main([]) == 2
    assert "serve" in capsys.readouterr().err


def test_version_without_an_engine(capsys):
    assert main(["-H", "unix:///nonexistent", "version"]) == 1
    shown = capsys.readouterr()
    assert f"Palan:  {__version__}\nAPI:    1.24 to {MAX_VERSION}\n" in shown.out
    assert shown.err.startswith("Cannot connect to the Docker daemon at unix:///nonexistent. Is")


def test_options_before_the_command_are_checked(capsys):
    for words, message in (
        (["--nope"], "unknown flag: --nope"),
        (["-H"], "flag needs an argument: 'H' in -H"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 125
        assert capsys.readouterr().err.startswith(message)


def test_an_unknown_command_is_refused(capsys):
    assert main(["swim"]) == 1
    assert "swim" in capsys.readouterr().err


def test_flags_are_collected_by_directive():
    flags = parse_flags(
        ["-D", "--tls=false", "-H", "unix:///a", "--host=fd://", "--label", "a=b", "--validate"]
    )
    assert flags.given == {
        "debug": ["true"],
        "tls": ["false"],
        "hosts": ["unix:///a", "fd://"],
        "labels": ["a=b"],
    }
    assert flags.validate
    assert flags.config_file is None


def test_a_flag_must_be_written_out(capsys):
    with pytest.raises(SystemExit):
        parse_flags(["--insecure-reg", "a"])
    assert "unrecognized arguments: --insecure-reg" in capsys.readouterr().err


def test_help_names_every_flag(capsys):
    with pytest.raises(SystemExit) as caught:
        parse_flags(["--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert "--registry-mirror URL" in out
    assert "Not available:" in out


def test_validate_says_ok(tmp_path, capsys):
    path = tmp_path / "daemon.json"
    path.write_text(json.dumps({"debug": True, "live-restore": False}))
    assert main(["serve", "--validate", f"--config-file={path}"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "configuration OK\n"
    assert "live-restore has no effect" in captured.err


def test_validate_says_what_is_wrong(tmp_path, capsys):
    path = tmp_path / "daemon.json"
    path.write_text(json.dumps({"debug": True, "colour": "blue"}))
    assert main(["serve", "--validate", f"--config-file={path}"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        f"palan serve: unable to configure the engine with file {path}: "
        "the following directives don't match any configuration option: colour\n"
    )


def test_reset_leaves_alone_what_is_no_engine(tmp_path, capsys):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "precious").touch()
    roots = ["--data-root", str(tmp_path / "data"), "--exec-root", str(tmp_path / "exec")]
    assert main(["system", "reset", "--yes", *roots]) == 0
    assert capsys.readouterr().out == f"There is no engine at {tmp_path / 'data'}.\n"
    assert (tmp_path / "data" / "precious").exists()
    assert not (tmp_path / "exec").exists()
