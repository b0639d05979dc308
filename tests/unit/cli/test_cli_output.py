from __future__ import annotations

import json

import pytest

from aiocloudmap.cli.errors import CommandError
from aiocloudmap.cli.output import Format, chosen_format, having, write
from aiocloudmap.errors import AttributeNotFoundError
from aiocloudmap.model.instance import HealthStatus, Instance
from aiocloudmap.model.query import ServiceName

ORDERS = ServiceName("shop", "orders")


def _instance(identifier="orders-1", health=HealthStatus.HEALTHY, **attributes):
    return Instance(identifier, ORDERS, health, attributes)


@pytest.mark.parametrize(
    ("asked", "attribute", "on_terminal", "expected"),
    [
        (None, None, True, Format.TABLE),
        (None, "QUEUE_URL", True, Format.TABLE),
        (None, None, False, Format.JSONL),
        (None, "QUEUE_URL", False, Format.VALUE),
        (Format.JSON, None, True, Format.JSON),
        (Format.TABLE, "QUEUE_URL", False, Format.TABLE),
    ],
)
def test_terminals_get_a_table_and_pipes_get_data(asked, attribute, on_terminal, expected):
    """A requested format wins over the default."""
    assert chosen_format(asked, attribute=attribute, on_terminal=on_terminal) is expected


def test_json_is_one_array_of_whole_instances(capsys):
    """Attributes are sorted by key."""
    write([_instance(B="2", A="1"), _instance("orders-2")], Format.JSON, None)
    assert json.loads(capsys.readouterr().out) == [
        {
            "id": "orders-1",
            "namespace": "shop",
            "service": "orders",
            "health": "HEALTHY",
            "attributes": {"A": "1", "B": "2"},
        },
        {"id": "orders-2", "namespace": "shop", "service": "orders", "health": "HEALTHY", "attributes": {}},
    ]


def test_jsonl_has_one_instance_a_line(capsys):
    """Line breaks in values are escaped."""
    write([_instance(A="1\n2"), _instance("orders-2")], Format.JSONL, None)
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["orders-1", "orders-2"]


def test_json_of_one_attribute_leaves_the_others_out(capsys):
    """--attribute applies to every format."""
    write([_instance(A="1", B="2")], Format.JSON, "A")
    assert json.loads(capsys.readouterr().out)[0]["attributes"] == {"A": "1"}


def test_value_is_the_bare_value(capsys):
    """$(...) in a shell yields exactly the value."""
    write([_instance(QUEUE_URL="https://q")], Format.VALUE, "QUEUE_URL")
    assert capsys.readouterr().out == "https://q\n"


def test_value_chooses_instances_at_random(capsys):
    """Scripts that take one instance each use all of them."""
    seen = set()
    for _ in range(200):
        write([_instance(A="1"), _instance("orders-2", A="2")], Format.VALUE, "A")
        seen.add(capsys.readouterr().out)
    assert seen == {"1\n", "2\n"}


def test_env_writes_assignments_of_one_instance(capsys):
    """They are quoted for a shell and sorted by name."""
    write([_instance(B="it's", A="1")], Format.ENV, None)
    assert capsys.readouterr().out == "A=1\nB='it'\"'\"'s'\n"


@pytest.mark.parametrize(
    "key", ["PATH", "LD_PRELOAD", "IFS", "BASH_ENV", "https_proxy", "AWS_ENDPOINT_URL", "PYTHONPATH"]
)
def test_env_omits_variables_that_control_the_shell(capsys, key):
    """An instance must not choose what a shell runs that evaluates the output."""
    write([_instance(**{key: "/evil", "A": "1"})], Format.ENV, None)
    out, err = capsys.readouterr()
    assert out == "A=1\n"
    assert key in err


def test_env_writes_the_attributes_of_cloud_map(capsys):
    """AWS_INSTANCE_IPV4 and similar names control nothing."""
    write([_instance(AWS_INSTANCE_IPV4="10.0.0.1", AWS_INSTANCE_PORT="80")], Format.ENV, None)
    assert capsys.readouterr().out == "AWS_INSTANCE_IPV4=10.0.0.1\nAWS_INSTANCE_PORT=80\n"


def test_env_writes_a_controlling_variable_if_requested(capsys):
    """The user chose it."""
    write([_instance(TZ="UTC", A="1")], Format.ENV, "TZ")
    assert capsys.readouterr().out == "TZ=UTC\n"


@pytest.mark.parametrize("key", ["not-a-name", "A;id", "1st", "A=B", "$(id)"])
def test_env_refuses_invalid_variable_names(key):
    """A requested name is refused too."""
    with pytest.raises(CommandError, match="cannot be written as shell variables"):
        write([_instance(**{key: "x"})], Format.ENV, key)


def test_an_attribute_name_cannot_write_lines_of_its_own(capsys):
    """Other services choose it; a line break becomes an escape."""
    write([_instance(**{"A": "1", "B C\nerror: all is lost": "2"})], Format.ENV, None)
    out, err = capsys.readouterr()
    assert out == "A=1\n"
    assert err == (
        "note: left out B C\\nerror: all is lost: not a variable name, or it would control the shell;\n"
        "      use --attribute to write a variable that controls the shell\n"
    )


def test_a_table_shows_every_attribute(capsys):
    """Long values are not cropped."""
    long = "x" * 300
    write([_instance(LONG=long, AWS_INSTANCE_IPV4="10.0.0.1", AWS_INSTANCE_PORT="80")], Format.TABLE, None)
    shown = "".join(capsys.readouterr().out.split())
    assert shown.count("x") == 300
    assert "10.0.0.1:80" in shown


@pytest.mark.parametrize("attribute", [None, "QUEUE_URL"])
@pytest.mark.parametrize("identifier", ["orders-1", "3f2c1a8e-0b7d-4c57-9a3e-5d0c6a1b2f43"])
def test_a_table_never_cuts_a_value(capsys, monkeypatch, attribute, identifier):
    """A URL longer than the line stays on one line, for the terminal to wrap, and can be copied."""
    monkeypatch.setenv("COLUMNS", "80")
    url = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders-of-the-shop-in-ireland-canary"
    instance = _instance(identifier, QUEUE_URL=url, AWS_INSTANCE_IPV4="10.0.0.1", AWS_INSTANCE_PORT="80")
    write([instance, _instance("orders-2", QUEUE_URL="https://q/2")], Format.TABLE, attribute)
    out = capsys.readouterr().out
    for whole in (url, identifier, "https://q/2", "HEALTHY", *(["10.0.0.1:80"] if attribute is None else [])):
        assert whole in out
    assert f"  QUEUE_URL={url}\n" in out


def test_a_narrow_table_stays_a_table(capsys, monkeypatch):
    """If every value fits into the line."""
    monkeypatch.setenv("COLUMNS", "80")
    write([_instance(QUEUE_URL="https://q/1")], Format.TABLE, None)
    assert capsys.readouterr().out.split()[:4] == ["instance", "health", "address", "attributes"]


def test_a_table_shows_an_invalid_address(capsys):
    """An invalid port does not hide the rest."""
    write([_instance(AWS_INSTANCE_IPV4="10.0.0.1", AWS_INSTANCE_PORT="http")], Format.TABLE, None)
    assert "(invalid)" in capsys.readouterr().out


def test_tables_contain_neither_markup_nor_terminal_escapes(capsys, monkeypatch):
    """Attributes are untrusted text, also with colours on."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    hostile = _instance("[red]id[/red]", A="[bold]loud[/bold] :skull: \x1b[2J\x9b2J")
    write([hostile], Format.TABLE, None)
    out = capsys.readouterr().out
    assert "[red]id[/red]" in out
    assert "[bold]loud[/bold] :skull: \\x1b[2J\\x9b2J" in out
    assert "\x1b[2J" not in out


def test_a_table_heading_is_not_markup(capsys):
    """An attribute name is untrusted text."""
    write([_instance(**{"[red]": "x"})], Format.TABLE, "[red]")
    assert "[red]" in capsys.readouterr().out


def test_only_instances_with_the_attribute_are_written():
    """Service.attribute works the same way."""
    bare, rich = _instance(), _instance("orders-2", A="1")
    assert having([bare, rich], "A") == [rich]
    assert having([bare, rich], None) == [bare, rich]


def test_a_missing_attribute_lists_the_existing_ones():
    """That shows a typing error."""
    with pytest.raises(AttributeNotFoundError, match=r"QUEUE_URI.*A, B"):
        having([_instance(B="1"), _instance("orders-2", A="1")], "QUEUE_URI")
