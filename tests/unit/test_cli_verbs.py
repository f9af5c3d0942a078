"""The verbs' parsing of arguments and printing of responses, without an engine."""

import json
from typing import Any

import pytest

from palan.cli import main
from palan.cli.verbs.api import coloured
from palan.cli.verbs.completion import _candidates
from palan.cli.verbs.listing import label_columns, show
from palan.cli.verbs.ps import _ports
from palan.cli.verbs.registry import GROUPS, VERBS, find
from palan.cli.verbs.run_options import arguments_of_create
from palan.cli.verbs.table import ago, seconds_of, size
from palan.cli.verbs.template import Template
from palan.cli.verbs.verb import Parser


def options(*words: str) -> Any:
    parser = Parser(prog="run")
    find("run").declare(parser)
    return parser.parse_args(list(words))


def test_every_verb_can_be_found_and_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    names = [*VERBS, *(name for group in GROUPS.values() for name in group.values())]
    for name in names:
        parser = Parser(prog=name)
        find(name).declare(parser)
        assert parser.format_help()
    for group, words in GROUPS.items():
        for word, name in words.items():
            assert find(name).summary, (group, word)
    with pytest.raises(SystemExit) as ended:
        main(["run"])
    assert ended.value.code == 1
    for given, status in ((["run", "--nonsense", "x"], 125), (["ps", "extra"], 1)):
        with pytest.raises(SystemExit) as ended:
            main(given)
        assert ended.value.code == status
    assert "IMAGE" in capsys.readouterr().err


def test_words_after_the_image_are_the_command() -> None:
    given = options("-it", "--rm", "-e", "A=b", "busybox", "ls", "-l", "--rm", "-e", "x")
    assert (given.image, given.command) == ("busybox", ["ls", "-l", "--rm", "-e", "x"])
    assert (given.interactive, given.tty, given.rm, given.env) == (True, True, True, ["A=b"])
    assert options("--rm=false", "-t=true", "x").rm is False
    assert options("-h", "name", "x").hostname == "name"


def test_run_options_are_what_the_api_wants() -> None:
    made = arguments_of_create(
        options(
            "-p", "127.0.0.1:8080:80", "-p", "53:53/udp", "-p", "9000-9001:90-91", "-p", "7",
            "--expose", "1000-1001", "-v", "/a:/b:ro", "-v", "/anonymous", "-m", "1.5g",
            "--memory-swap", "-1", "--cpus", "0.5", "--restart", "on-failure:3",
            "--ulimit", "nofile=1:2", "--mount", "type=bind,src=/s,dst=/d,readonly",
            "--network", "n", "--network-alias", "a", "--ip", "10.0.0.2", "--tmpfs", "/t:size=1m",
            "--health-cmd", "true", "--health-interval", "1m30s", "--device", "/dev/fuse",
            "--pid", "host", "--cpu-shares", "5", "--entrypoint", "/e", "--init", "busybox", "c",
        )
    )  # fmt: skip
    host = made["host_config"]
    bound = {
        port: [(one.host_ip, one.host_port) for one in where]
        for port, where in host.port_bindings.items()
    }
    assert bound == {
        "80/tcp": [("127.0.0.1", "8080")],
        "53/udp": [("", "53")],
        "90/tcp": [("", "9000")],
        "91/tcp": [("", "9001")],
        "7/tcp": [("", "")],
    }
    assert {"1000/tcp", "1001/tcp", "80/tcp"} <= set(made["exposed_ports"])
    assert (host.binds, made["volumes"]) == (["/a:/b:ro"], {"/anonymous": {}})
    assert (host.memory, host.memory_swap, host.nano_cpus) == (3 << 29, -1, 500_000_000)
    assert (host.restart_policy.name, host.restart_policy.maximum_retry_count) == ("on-failure", 3)
    assert (host.ulimits[0].soft, host.ulimits[0].hard) == (1, 2)
    assert (host.mounts[0].source, host.mounts[0].read_only) == ("/s", True)
    endpoint = made["networking_config"].endpoints_config["n"]
    assert (endpoint.aliases, endpoint.ipam_config.ipv4_address) == (["a"], "10.0.0.2")
    assert made["healthcheck"].interval == 90 * 10**9
    assert (host.pid_mode, host.cpu_shares, host.init) == ("host", 5, True)
    assert (made["entrypoint"], made["cmd"]) == (["/e"], ["c"])


@pytest.mark.parametrize(
    "words",
    [
        ["-p", "80-81:1-3"], ["-p", "x:80"], ["-m", "lots"], ["--ulimit", "nofile"],
        ["--mount", "nonsense=1"], ["--health-interval", "soon"],
    ],
)  # fmt: skip
def test_options_that_cannot_be_read(words: list[str]) -> None:
    with pytest.raises(ValueError, match=r"."):
        arguments_of_create(options(*words, "busybox"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{{.Name}}: {{.State.Status}}", "/web: running"),
        ("{{json .State}}", '{"Status":"running","Pid":7}'),
        ("{{range .Mounts}}{{.Source}} {{end}}", "/a /b "),
        ("{{range .None}}x{{else}}nothing{{end}}", "nothing"),
        ("{{if .State.Pid}}yes{{else}}no{{end}}", "yes"),
        ('{{if eq .State.Status "running"}}up{{end}}', "up"),
        ('{{len .Mounts}} {{.State.Pid | printf "%d"}}', "2 7"),
        ('{{index .Labels "a.b"}}', "c"),
        ('{{join .Words "-"}} {{upper .Name}}', "x-y /WEB"),
        ("{{with .State}}{{.Pid}} {{$.Name}}{{end}}", "7 /web"),
        ("{{(index .Mounts 1).Source}} {{len (index .Mounts 0).Source}}", "/b 2"),
        ("{{.Words}} {{.Labels}}", "[x y] map[a.b:c]"),
        ("a {{- .Name -}} b", "a/webb"),
        ("{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}", "a.b=c;"),
        ("{{range $i, $e := .Words}}{{if $i}}, {{end}}{{$e}}{{end}}", "x, y"),
        ("{{$n := .Name}}{{range .Mounts}}{{$n}}{{.Source}} {{end}}", "/web/a /web/b "),
        ("{{range $m := .Mounts}}{{$m.Source}}{{end}}", "/a/b"),
        ('{{if eq .Name "x"}}a{{else if .Words}}b{{else}}c{{end}}', "b"),
        ("{{slice .Name 1 3}}", "we"),
        ("{{$unknown}}", None),
        ("{{range .State.Pid}}{{.}}{{end}}", "0123456"),
        ("{{range .Name}}{{end}}", None),
        ("{{.Missing}}", None),
        ("{{nonsense .Name}}", None),
        ("{{if .Name}}", None),
        ("{{.Name", None),
        ("{{end}}", None),
    ],
)
def test_templates(text: str, shown: str | None) -> None:
    value = {
        "Name": "/web", "State": {"Status": "running", "Pid": 7}, "Labels": {"a.b": "c"},
        "Mounts": [{"Source": "/a"}, {"Source": "/b"}], "Words": ["x", "y"], "None": [],
    }  # fmt: skip
    if shown is None:
        with pytest.raises(ValueError, match="template"):
            Template(text).render(value)
    else:
        assert Template(text).render(value) == shown


def test_rows_as_docker_shows_them(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"Name": "a<b", "ID": "1", **label_columns({"x": "y", "a": "b"})}]
    columns = {"Name": "NAME", "ID": "ID"}
    for form in (
        "",
        "json",
        '{{.Label "x"}}-{{.Label "none"}}',
        'table {{.Name}}\\t{{.Label "x"}}',
    ):
        show(columns, rows, form, shown=("Name", "ID"))
    assert capsys.readouterr().out.splitlines() == [
        "NAME      ID", "a<b       1",
        r'{"ID":"1","Labels":"a=b,x=y","Name":"a\u003cb"}',
        "y-",
        "NAME      x", "a<b       y",
    ]  # fmt: skip


def test_figures_for_people() -> None:
    assert [size(one) for one in (0, 999, 1984162, 5 << 30)] == ["0B", "999B", "1.98MB", "5.37GB"]
    assert size(1 << 20, 1024) == "1MiB"
    assert [ago(0, after) for after in (0.5, 1, 90, 3700, 86400 * 3)] == [
        "Less than a second ago", "1 second ago", "About a minute ago", "About an hour ago",
        "3 days ago",
    ]  # fmt: skip
    assert seconds_of("1970-01-01T00:00:01.5Z") == 1.5
    assert seconds_of("1970-01-01T01:00:00.123456789+01:00") == 0.123456


def test_ports_are_shown_in_ranges() -> None:
    from palan.api.containers import PortSummary

    ports = [
        *(PortSummary(ip="0.0.0.0", private_port=n, public_port=n + 1000) for n in (80, 81, 82)),
        PortSummary(ip="::", private_port=80, public_port=1080),
        PortSummary(private_port=53, type="udp"),
    ]
    assert _ports(ports) == ("53/udp, 0.0.0.0:1080-1082->80-82/tcp, [::]:1080->80/tcp")


def test_colours_leave_json_what_it_is() -> None:
    import re

    text = json.dumps({"a": [1, -2.5e3, None, True, 'x"y: 1']}, indent=2)
    painted = coloured(text)
    assert "\x1b[34m" in painted
    assert re.sub(r"\x1b\[\d+m", "", painted) == text


def test_completion() -> None:
    assert {"run", "ps", "serve", "completion"} <= set(_candidates([], ""))
    assert "--network" in _candidates(["-H", "unix:///x", "run"], "--")
    assert "ls" in _candidates(["container"], "")
    assert _candidates(["completion"], "") == ["bash", "zsh", "fish"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "__complete" in capsys.readouterr().out
