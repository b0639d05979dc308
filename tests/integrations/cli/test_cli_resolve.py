from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from aiocloudmap.local import LocalCloudMap, World

PATIENCE = 60
KEYS = {"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
WORLD = """
[shop.orders.instances.orders-1]
QUEUE_URL = "https://q/orders"
STAGE = "live"
[shop.orders.instances.orders-2]
QUEUE_URL = "https://q/canary"
STAGE = "canary"
[shop.empty]
[shop.checked]
unhealthy = ["sick"]
[shop.checked.instances.sick]
A = "1"
[shop.checked.instances.well]
A = "2"
[shop.theirs]
owner_account = "210987654321"
[shop.theirs.instances.theirs-1]
"""


@pytest.fixture
def local(environment, monkeypatch):
    """A Cloud Map in a thread, and an environment that leads there."""
    with LocalCloudMap(World.from_toml(WORLD)) as running:
        for variable, value in KEYS.items():
            monkeypatch.setenv(variable, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL_SERVICEDISCOVERY", running.endpoint_url)
        yield running


@pytest.fixture
def resolve(local, invoke):
    """Runs `aiocloudmap resolve` in this process."""
    return lambda *arguments: invoke("resolve", *arguments)


def test_a_pipe_gets_one_instance_a_line(resolve):
    """JSON lines, sorted by id, nothing on standard error."""
    outcome = resolve("shop/orders")
    assert (outcome.code, outcome.err) == (0, "")
    assert [json.loads(line)["id"] for line in outcome.out.splitlines()] == ["orders-1", "orders-2"]


def test_a_pipe_gets_the_bare_value_of_an_attribute(resolve):
    """What `$(...)` is for."""
    assert resolve("shop/orders", "--attribute", "QUEUE_URL", "--where", "STAGE=live").out == "https://q/orders\n"


def test_a_name_may_be_a_url(resolve):
    """As in configuration strings."""
    assert resolve("cloudmap://shop/orders", "-o", "json").code == 0


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        (["shop/orders", "--where", "STAGE=live"], ["orders-1"]),
        (["shop/orders", "--prefer", "STAGE=canary"], ["orders-2"]),
        (["shop/orders", "--prefer", "STAGE=none"], ["orders-1", "orders-2"]),
        (["shop/orders", "--where", "STAGE=live", "--where", "QUEUE_URL=https://q/orders"], ["orders-1"]),
        (["shop/checked"], ["well"]),
        (["shop/checked", "--health", "unhealthy"], ["sick"]),
        (["shop/checked", "--health", "ALL"], ["sick", "well"]),
        (["shop/theirs", "--owner-account", "210987654321"], ["theirs-1"]),
    ],
)
def test_options_narrow_the_answer_as_cloud_map_does(resolve, arguments, ids):
    """Each reaches AWS."""
    outcome = resolve(*arguments, "-o", "json")
    assert [each["id"] for each in json.loads(outcome.out)] == ids


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nowhere/orders"], "NamespaceNotFound", "nowhere"),
        (["shop/nothing"], "ServiceNotFound", "shop/nothing"),
        (["shop/empty"], "NoInstances", "no instance is registered"),
        (["shop/orders", "--where", "STAGE=none"], "NoInstances", "no instance matches"),
        (["shop/orders", "--attribute", "QUEUE_URI"], "AttributeNotFound", "QUEUE_URI"),
    ],
)
def test_what_is_not_there_leaves_3_and_says_what(resolve, arguments, code, said):
    """Each in its own words, and as JSON where the answer would have been JSON."""
    plain = resolve(*arguments, "-o", "table")
    assert (plain.code, plain.out) == (3, "")
    assert plain.err.startswith("error: ")
    assert said in plain.err
    told = resolve(*arguments, "-o", "json")
    assert (told.code, told.out) == (3, "")
    error = json.loads(told.err)["error"]
    assert error["code"] == code
    assert error["hint"]


def test_a_missing_attribute_lists_those_there_are(resolve):
    """The typing error is seen at once."""
    assert "QUEUE_URL, STAGE" in resolve("shop/orders", "--attribute", "QUEUE_URI").err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["orders"], "namespace/service"),
        (["shop/-orders"], "service name"),
        ([], "NAME"),
        (["shop/orders", "--where", "STAGE"], "KEY=VALUE"),
        (["shop/orders", "--where", "=live"], "KEY=VALUE"),
        (["shop/orders", "--where", "a b=c"], "attribute name"),
        (["shop/orders", "--where", "A=1", "--where", "A=2"], "twice"),
        (["shop/orders", "--prefer", "STAGE"], "--prefer"),
        (["shop/orders", "--health", "fine"], "fine"),
        (["shop/orders", "--owner-account", "12"], "account"),
        (["shop/orders", "-o", "yaml"], "yaml"),
        (["shop/orders", "-o", "value"], "--attribute"),
        (["shop/orders", "--timeout", "0"], "--timeout"),
        (["shop/orders", "--nothing"], "--nothing"),
    ],
)
def test_wrong_usage_leaves_2_and_asks_nobody(resolve, local, arguments, said):
    """Whatever AWS would refuse is refused here."""
    outcome = resolve(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert said in " ".join(outcome.err.replace("│", " ").split())
    assert local.stats.calls.total == 0


def test_no_region_leaves_4(resolve, monkeypatch):
    """With what to set."""
    monkeypatch.delenv("AWS_REGION")
    outcome = resolve("shop/orders")
    assert outcome.code == 4
    assert "region" in outcome.err.lower()


def test_no_credentials_leave_4(resolve, monkeypatch):
    """Nothing is asked without."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    outcome = resolve("shop/orders")
    assert outcome.code == 4
    assert "credentials" in outcome.err.lower()


def test_an_unknown_profile_leaves_4(resolve):
    """It is a setting like others."""
    outcome = resolve("shop/orders", "--profile", "nobody")
    assert outcome.code == 4
    assert "nobody" in outcome.err


def test_a_profile_wins_over_keys_in_the_environment(resolve, local, monkeypatch, tmp_path):
    """As for the aws command."""
    (tmp_path / "config").write_text("[profile mine]\nregion = us-east-1\n")
    (tmp_path / "credentials").write_text("[mine]\naws_access_key_id = MINE\naws_secret_access_key = x\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.delenv("AWS_REGION")
    signed = []
    monkeypatch.setattr(
        "botocore.auth.SigV4Auth.add_auth",
        lambda self, request: signed.append((self.credentials.access_key, self._region_name)),
    )
    assert resolve("shop/orders", "--profile", "mine").code == 0
    assert signed == [("MINE", "us-east-1")]


@pytest.mark.parametrize("variable", ["AIOCLOUDMAP_TTL", "AIOCLOUDMAP_MAX_CONNECTIONS"])
def test_a_setting_that_is_none_leaves_4(resolve, monkeypatch, variable):
    """The variable is named."""
    monkeypatch.setenv(variable, "soon")
    outcome = resolve("shop/orders")
    assert outcome.code == 4
    assert variable in outcome.err


def test_an_endpoint_that_is_no_url_leaves_4(resolve):
    """Before anything is sent."""
    assert resolve("shop/orders", "--endpoint-url", "nonsense").code == 4


def test_an_endpoint_where_nobody_listens_leaves_5(resolve, monkeypatch):
    """The address is in the message."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        outcome = resolve("shop/orders", "--endpoint-url", url)
    assert outcome.code == 5
    assert outcome.out == ""


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("throttle", 5),
        ("server_error", 5),
        ("garbage", 5),
        ("empty", 5),
        ("reset", 5),
        ("access_denied", 5),
        ("expired_token", 4),
    ],
)
def test_trouble_at_aws_leaves_its_code_and_a_clean_line(resolve, local, monkeypatch, fault, expected):
    """No traceback, no log lines between."""
    monkeypatch.setenv("AIOCLOUDMAP_MAX_ATTEMPTS", "1")
    getattr(local.faults, fault)()
    outcome = resolve("shop/orders", "-o", "table")
    assert (outcome.code, outcome.out) == (expected, "")
    assert [line.split(":")[0].strip() for line in outcome.err.splitlines()] in (["error", "hint"], ["error"])


def test_an_error_is_json_only_for_who_asked_for_json(resolve):
    """A pipe alone does not mean that nobody reads what went wrong."""
    assert resolve("shop/nothing").err.startswith("error: ")


def test_time_that_passed_leaves_124(resolve, local):
    """And ends at once, not when the library's own deadline has passed."""
    local.faults.hang()
    outcome = resolve("shop/orders", "--timeout", "0.05", "-o", "jsonl")
    assert outcome.code == 124
    assert json.loads(outcome.err)["error"]["code"] == "TimedOut"


def test_a_name_lookup_that_hangs_does_not_keep_the_command(local):
    """The thread it hangs in cannot be cancelled; waiting for it would take minutes."""
    program = (
        "import socket, sys, threading, aiobotocore.session\n"
        "def hang(*_, **__):\n"
        "    print('looking up')\n"
        "    threading.Event().wait()\n"
        "socket.getaddrinfo = hang\n"
        "sys.argv[1:] = ['resolve', 'shop/orders', '--endpoint-url', 'http://hangs.invalid:1', '--timeout', '2']\n"
        "from aiocloudmap.cli import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stdout) == (124, "looking up\n")
    assert "--timeout" in done.stderr


def test_hostile_attributes_do_nothing_to_a_table_a_shell_or_a_line(resolve, monkeypatch):
    """AWS allows printable ASCII only; whoever plays AWS may send anything."""
    evil = "\x1b]0;owned\x07[red]\u202e\n$(id)"

    def call(self, operation, members):
        attributes = {"QUEUE_URL": evil}
        common = {"NamespaceName": "shop", "ServiceName": "orders", "HealthStatus": "HEALTHY"}
        return {"Instances": [{"InstanceId": "i\x1b[2J", "Attributes": attributes, **common}], "InstancesRevision": 1}

    monkeypatch.setattr(World, "call", call)
    for form in ("table", "env", "json", "jsonl"):
        outcome = resolve("shop/orders", "-o", form)
        assert outcome.code == 0
        assert "".join(outcome.out.split("\n")).isprintable(), form
    assert resolve("shop/orders", "-o", "value", "--attribute", "QUEUE_URL").out == evil + "\n"
    shell = f'{resolve("shop/orders", "-o", "env").out}\nprintf %s "$QUEUE_URL"'
    assert subprocess.run(["bash", "-c", shell], capture_output=True, check=True).stdout.decode() == evil


def test_an_output_without_unicode_gets_escapes_instead_of_a_traceback(local, monkeypatch, run):
    """PYTHONIOENCODING=ascii is what a bare container comes to."""

    def call(self, operation, members):
        common = {"NamespaceName": "shop", "ServiceName": "orders", "HealthStatus": "HEALTHY"}
        return {"Instances": [{"InstanceId": "1", "Attributes": {"A": "größe"}, **common}], "InstancesRevision": 1}

    monkeypatch.setattr(World, "call", call)
    outcome = run("resolve", "shop/orders", "-o", "table", PYTHONIOENCODING="ascii")
    assert (outcome.code, outcome.err) == (0, "")
    assert "gr\\xf6\\xdfe" in outcome.out


def test_a_terminal_gets_a_table_with_a_spinner_before(local, on_terminal):
    """Even one who asks for a single attribute."""
    outcome = on_terminal("resolve", "shop/orders", "--attribute", "QUEUE_URL")
    assert outcome.code == 0
    shown = outcome.err
    assert "https://q/orders" in shown
    assert "orders-2" in shown
    assert "asking for shop/orders" in shown


def test_no_color_leaves_a_terminal_without_colours(local, on_terminal):
    """Bold is no colour, and stays."""
    coloured = on_terminal("resolve", "shop/checked").err
    plain = on_terminal("resolve", "shop/checked", NO_COLOR="1").err
    assert "\x1b[32mHEALTHY" in coloured
    assert "\x1b[32m" not in plain


def test_force_color_colours_a_pipe_and_changes_nothing_else(local, run):
    """Data stays data: no table, no spinner."""
    outcome = run("resolve", "shop/checked", FORCE_COLOR="1")
    assert json.loads(outcome.out)["id"] == "well"
    assert outcome.err == ""
    assert "\x1b[32m" in run("resolve", "shop/checked", "-o", "table", FORCE_COLOR="1").out


def test_a_dumb_terminal_gets_no_spinner(local, on_terminal):
    """It could not erase it."""
    shown = on_terminal("resolve", "shop/orders", TERM="dumb").err
    assert "asking" not in shown
    assert "\x1b" not in shown


def test_ctrl_c_leaves_130_and_no_words(local, command):
    """While AWS lets us wait."""
    local.faults.hold()
    with subprocess.Popen(
        command("resolve", "shop/orders"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        _wait_until_held(local)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (130, "", "")


def test_sigterm_leaves_143(local, command):
    """As any well-behaved command."""
    local.faults.hold()
    with subprocess.Popen(
        command("resolve", "shop/orders"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        _wait_until_held(local)
        process.terminate()
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (143, "", "")


def test_a_reader_that_has_gone_is_no_traceback(local, command):
    """`aiocloudmap resolve ... | head -0`."""
    ours, theirs = os.pipe()
    os.close(ours)
    with os.fdopen(theirs, "wb") as nobody:
        done = subprocess.run(
            command("resolve", "shop/orders"), stdout=nobody, stderr=subprocess.PIPE, timeout=PATIENCE, check=False
        )
    assert (done.returncode, done.stderr) == (1, b"")


def test_debug_shows_logs_and_the_traceback(local, run):
    """And the same exit code and line at the end."""
    outcome = run("--debug", "resolve", "shop/nothing")
    assert outcome.code == 3
    assert "Traceback" in outcome.err
    assert "INFO:" in outcome.err
    assert "error: shop/nothing" in outcome.err


def _wait_until_held(local):
    import asyncio

    asyncio.run(asyncio.wait_for(local.faults.until_held(), PATIENCE))


def test_a_terminal_that_claims_to_have_no_columns_gets_a_table_all_the_same(local, run):
    """COLUMNS may hold anything; nothing printed at all would look like no answer."""
    outcome = run("resolve", "shop/orders", "-o", "table", COLUMNS="0")
    assert outcome.code == 0
    assert "orders-1" in outcome.out
    assert "orders-2" in outcome.out


def test_a_closed_standard_output_is_one_line_and_no_traceback(command):
    """As `>&-` makes it: there is nowhere to print the answer to."""
    closed = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *command("resolve", "shop/orders")],
        stderr=subprocess.PIPE,
        timeout=PATIENCE,
        check=False,
    )
    assert closed.returncode == 1
    assert closed.stderr == b"error: standard output is closed\n"
