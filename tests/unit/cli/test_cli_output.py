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
def test_eyes_get_a_table_and_pipes_get_data(asked, attribute, on_terminal, expected):
    """The default follows what standard output is; what was asked for wins."""
    assert chosen_format(asked, attribute=attribute, on_terminal=on_terminal) is expected


def test_json_is_one_array_of_whole_instances(capsys):
    """Scripts get everything there is about an instance, sorted by key."""
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
    """Even where a value holds a line break."""
    write([_instance(A="1\n2"), _instance("orders-2")], Format.JSONL, None)
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["orders-1", "orders-2"]


def test_json_of_one_attribute_leaves_the_others_out(capsys):
    """--attribute narrows every format in the same way."""
    write([_instance(A="1", B="2")], Format.JSON, "A")
    assert json.loads(capsys.readouterr().out)[0]["attributes"] == {"A": "1"}


def test_value_is_the_bare_value(capsys):
    """So that $(...) gives a shell just that."""
    write([_instance(QUEUE_URL="https://q")], Format.VALUE, "QUEUE_URL")
    assert capsys.readouterr().out == "https://q\n"


def test_value_takes_any_of_the_instances(capsys):
    """Scripts that each take one instance spread over all."""
    seen = set()
    for _ in range(200):
        write([_instance(A="1"), _instance("orders-2", A="2")], Format.VALUE, "A")
        seen.add(capsys.readouterr().out)
    assert seen == {"1\n", "2\n"}


def test_env_writes_assignments_of_one_instance(capsys):
    """Quoted for a shell, sorted by name."""
    write([_instance(B="it's", A="1")], Format.ENV, None)
    assert capsys.readouterr().out == "A=1\nB='it'\"'\"'s'\n"


@pytest.mark.parametrize(
    "key", ["PATH", "LD_PRELOAD", "IFS", "BASH_ENV", "https_proxy", "AWS_ENDPOINT_URL", "PYTHONPATH"]
)
def test_env_does_not_let_an_instance_steer_the_shell(capsys, key):
    """Who may register an instance must not choose what the shell runs that evaluates the output."""
    write([_instance(**{key: "/evil", "A": "1"})], Format.ENV, None)
    out, err = capsys.readouterr()
    assert out == "A=1\n"
    assert key in err


def test_env_writes_what_cloud_map_itself_calls_its_attributes(capsys):
    """AWS_INSTANCE_IPV4 and its like steer nothing."""
    write([_instance(AWS_INSTANCE_IPV4="10.0.0.1", AWS_INSTANCE_PORT="80")], Format.ENV, None)
    assert capsys.readouterr().out == "AWS_INSTANCE_IPV4=10.0.0.1\nAWS_INSTANCE_PORT=80\n"


def test_env_writes_a_steering_name_where_it_is_asked_for(capsys):
    """Then it is the user's own choice."""
    write([_instance(TZ="UTC", A="1")], Format.ENV, "TZ")
    assert capsys.readouterr().out == "TZ=UTC\n"


@pytest.mark.parametrize("key", ["not-a-name", "A;id", "1st", "A=B", "$(id)"])
def test_env_refuses_a_name_that_is_none(key):
    """Not even one asked for: no quoting makes it a variable."""
    with pytest.raises(CommandError, match="cannot be written as shell variables"):
        write([_instance(**{key: "x"})], Format.ENV, key)


def test_a_table_shows_every_attribute(capsys):
    """Nothing is cropped, however long."""
    long = "x" * 300
    write([_instance(LONG=long, AWS_INSTANCE_IPV4="10.0.0.1", AWS_INSTANCE_PORT="80")], Format.TABLE, None)
    shown = "".join(capsys.readouterr().out.split())
    assert shown.count("x") == 300
    assert "10.0.0.1:80" in shown


def test_a_table_shows_an_address_that_is_none(capsys):
    """A broken port is no reason to show nothing."""
    write([_instance(AWS_INSTANCE_IPV4="10.0.0.1", AWS_INSTANCE_PORT="http")], Format.TABLE, None)
    assert "(invalid)" in capsys.readouterr().out


def test_a_table_obeys_neither_markup_nor_terminal_escapes(capsys, monkeypatch):
    """Attributes are text that strangers wrote, even where colours are on."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    hostile = _instance("[red]id[/red]", A="[bold]loud[/bold] :skull: \x1b[2J\x9b2J")
    write([hostile], Format.TABLE, None)
    out = capsys.readouterr().out
    assert "[red]id[/red]" in out
    assert "[bold]loud[/bold] :skull: \\x1b[2J\\x9b2J" in out
    assert "\x1b[2J" not in out


def test_a_table_heading_obeys_no_markup(capsys):
    """Nor does a key."""
    write([_instance(**{"[red]": "x"})], Format.TABLE, "[red]")
    assert "[red]" in capsys.readouterr().out


def test_only_instances_with_the_attribute_count():
    """As for Service.attribute."""
    bare, rich = _instance(), _instance("orders-2", A="1")
    assert having([bare, rich], "A") == [rich]
    assert having([bare, rich], None) == [bare, rich]


def test_a_missing_attribute_names_those_there_are():
    """A typing error is seen at once."""
    with pytest.raises(AttributeNotFoundError, match=r"QUEUE_URI.*A, B"):
        having([_instance(B="1"), _instance("orders-2", A="1")], "QUEUE_URI")
