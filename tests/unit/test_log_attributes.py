import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.containers import make_record

from palan.api.containers import ContainerConfig, HostConfig, LogConfig
from palan.api.errors import InvalidParameter
from palan.engine.logdrivers.attributes import (
    DEFAULT_TAG,
    check_attributes,
    details,
    extra_attributes,
    log_tag,
)
from palan.engine.logdrivers.template import Template, TemplateError


def record(**options):
    config = {name.replace("_", "-"): value for name, value in options.items()}
    return make_record(
        0xABC,
        name="web",
        image="sha256:" + "f" * 64,
        path="nginx",
        args=["-g", "daemon off;"],
        config=ContainerConfig(
            image="shop/nginx:1",
            labels={"tier": "web", "com.example.team": "red"},
            env=["ZONE=east", "PATH=/bin", "EMPTY="],
        ),
        host_config=HostConfig(log_config=LogConfig(type="json-file", config=config)),
    )


def tag(template, default=""):
    return log_tag(record(tag=template), default=default, hostname="box", path="/log")


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("", ""),
        ("plain", "plain"),
        ("{{.ID}}", "0" * 12),
        ("{{.FullID}}", f"{0xABC:064x}"),
        ("{{.Name}}/{{.ImageName}}", "web/shop/nginx:1"),
        ("{{.ImageID}}", "f" * 12),
        ("{{.ImageFullID}}", "sha256:" + "f" * 64),
        ("{{ .Command }}@{{.Hostname}}", "nginx -g daemon off;@box"),
        ("{{.DaemonName}} {{.ContainerName}}", "docker /web"),
        ("{{.Name | upper}}", "WEB"),
        ("{{upper .Name | printf}}", None),
        ("{{truncate (upper .ImageName) 4}}", "SHOP"),
        ("{{.ImageName | truncate}}", None),
        ('{{index .ContainerLabels "com.example.team"}}', "red"),
        ("{{.ContainerLabels.tier}} {{.ContainerLabels.no}}", "web <no value>"),
        ("{{index .ContainerArgs 0}}", "-g"),
        ("{{index .ContainerArgs 7}}", None),
        ('{{join .ContainerArgs ","}}', "-g,daemon off;"),
        ("{{json .ContainerLabels.tier}}", '"web"'),
        ("{{title `new york`}}{{pad .Name 1 2}}|{{lower `A`}}", "New York web  |a"),
        ("a {{- .Name -}} b{{/* remark */}}", "awebb"),
        ("{{len .ContainerArgs}} {{.ContainerArgs}}", "2 [-g daemon off;]"),
        ("{{if .Name}}x{{end}}", None),
        ("{{.Nothing}}", None),
        ("{{.Name", None),
        ("{{}}", None),
        ("{{nope .Name}}", None),
        ("{{(.Name}}", None),
    ],
)
def test_tags(template, text):
    if text is None:
        with pytest.raises(TemplateError):
            tag(template)
    else:
        assert tag(template) == text


@pytest.mark.parametrize(
    ("hostile", "message"),
    [
        ("{{" * 200_000, "unclosed action"),
        ("{{" + "(" * 200_000 + "}}", "max expression depth exceeded"),
        ("{{.ID" + " .ID" * 200_000 + "}}", "unexpected"),
        ("{{upper" + " .ID" * 200_000 + "}}", "error calling upper"),
    ],
)
def test_long_tags_are_read_in_linear_time(hostile, message):
    with pytest.raises(TemplateError, match=message):
        tag(hostile)


def test_a_default_for_the_tag():
    assert tag("", default=DEFAULT_TAG) == "0" * 12


@given(st.text(alphabet='{}.ID ()|"`-/*N\\', max_size=30))
def test_any_text_is_a_template_or_a_clear_error(text):
    try:
        Template(text).apply({"ID": "x", "N": {}})
    except TemplateError as error:
        assert "template" in str(error)  # noqa: PT017


def test_attributes():
    assert extra_attributes(record()) == {}
    assert extra_attributes(record(labels="tier,none", env="ZONE,none")) == {
        "tier": "web",
        "ZONE": "east",
    }
    assert extra_attributes(record(labels_regex="^com", env_regex="E$|EMPTY")) == {
        "com.example.team": "red",
        "ZONE": "east",
        "EMPTY": "",
    }
    assert extra_attributes(record(labels="tier"), lambda name: f"_{name}") == {"_tier": "web"}


def test_details_are_escaped_and_sorted():
    def shown(**options):
        return details(record(**options), hostname="box", path="/log")

    assert shown() == b" "
    assert shown(labels="tier", env="ZONE,PATH") == b"PATH=%2Fbin,ZONE=east,tier=web "
    assert shown(tag="{{.Name}} x") == b"tag=web+x "


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"labels-regex": "("}, r"error parsing regexp: missing closing \): `\(`"),
        ({"env-regex": "["}, r"error parsing regexp: missing closing \]: `\[`"),
        ({"tag": "{{.Nope}}"}, "can't evaluate field Nope"),
        ({"tag": "{{"}, "unclosed action"),
    ],
)
def test_malformed_options_are_refused(options, words):
    with pytest.raises(InvalidParameter, match=words.replace("'", ".")):
        check_attributes(options)
    check_attributes({"tag": "{{.Name}}", "labels-regex": "^a", "env-regex": "b$"})


def test_expressions_that_make_others_backtrack_end():
    hostile = make_record(
        1,
        config=ContainerConfig(labels={"a" * 20_000 + "_": "x"}, env=["a" * 20_000 + "_=x"]),
        host_config=HostConfig(
            log_config=LogConfig(config={"labels-regex": "(a+)+$", "env-regex": "(a|a)*$_"})
        ),
    )
    assert extra_attributes(hostile) == {}
