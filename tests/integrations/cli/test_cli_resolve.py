from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from aiocloudmap.local import LocalCloudMap, World

MAX_WAIT = 60
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
    """A local Cloud Map in a thread, with an environment that points to it."""
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
    """They are JSON lines sorted by id, and standard error is empty."""
    outcome = resolve("shop/orders")
    assert (outcome.code, outcome.err) == (0, "")
    assert [json.loads(line)["id"] for line in outcome.out.splitlines()] == ["orders-1", "orders-2"]


def test_a_pipe_gets_the_bare_value_of_an_attribute(resolve):
    """`$(...)` in a shell uses it."""
    assert resolve("shop/orders", "--attribute", "QUEUE_URL", "--where", "STAGE=live").out == "https://q/orders\n"


def test_a_name_may_be_a_url(resolve):
    """cloudmap://shop/orders is the same as shop/orders."""
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
def test_options_are_sent_to_cloud_map(resolve, arguments, ids):
    """Each option filters the answer."""
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
def test_not_found_exits_with_3_and_says_what(resolve, arguments, code, said):
    """With -o json the error is JSON too."""
    plain = resolve(*arguments, "-o", "table")
    assert (plain.code, plain.out) == (3, "")
    assert plain.err.startswith("error: ")
    assert said in plain.err
    as_json = resolve(*arguments, "-o", "json")
    assert (as_json.code, as_json.out) == (3, "")
    error = json.loads(as_json.err)["error"]
    assert error["code"] == code
    assert error["hint"]


def test_a_missing_attribute_lists_the_existing_ones(resolve):
    """That shows a typing error."""
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
def test_wrong_usage_exits_with_2_and_makes_no_call(resolve, local, arguments, said):
    """What AWS would refuse is refused locally."""
    outcome = resolve(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert said in " ".join(outcome.err.replace("│", " ").split())
    assert local.stats.calls.total == 0


def test_a_missing_region_exits_with_4(resolve, monkeypatch):
    """The message names what to set."""
    monkeypatch.delenv("AWS_REGION")
    outcome = resolve("shop/orders")
    assert outcome.code == 4
    assert "region" in outcome.err.lower()


def test_missing_credentials_exit_with_4(resolve, monkeypatch):
    """No call is made without them."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    outcome = resolve("shop/orders")
    assert outcome.code == 4
    assert "credentials" in outcome.err.lower()


def test_an_unknown_profile_exits_with_4(resolve):
    """The message names the profile."""
    outcome = resolve("shop/orders", "--profile", "nobody")
    assert outcome.code == 4
    assert "nobody" in outcome.err


def test_a_profile_wins_over_keys_in_the_environment(resolve, local, monkeypatch, tmp_path):
    """The aws command works the same way."""
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
def test_an_invalid_setting_exits_with_4(resolve, monkeypatch, variable):
    """The message names the variable."""
    monkeypatch.setenv(variable, "soon")
    outcome = resolve("shop/orders")
    assert outcome.code == 4
    assert variable in outcome.err


def test_an_invalid_endpoint_exits_with_4(resolve):
    """Nothing is sent."""
    assert resolve("shop/orders", "--endpoint-url", "nonsense").code == 4


def test_an_unreachable_endpoint_exits_with_5(resolve, monkeypatch):
    """Standard output stays empty."""
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
def test_a_failure_at_aws_is_one_error_line(resolve, local, monkeypatch, fault, expected):
    """There is no traceback and no log line."""
    monkeypatch.setenv("AIOCLOUDMAP_MAX_ATTEMPTS", "1")
    getattr(local.faults, fault)()
    outcome = resolve("shop/orders", "-o", "table")
    assert (outcome.code, outcome.out) == (expected, "")
    assert [line.split(":")[0].strip() for line in outcome.err.splitlines()] in (["error", "hint"], ["error"])


def test_an_error_is_json_only_if_json_was_requested(resolve):
    """A pipe alone is not enough."""
    assert resolve("shop/nothing").err.startswith("error: ")


def test_a_timeout_exits_with_124(resolve, local):
    """It ends before the deadline of the library."""
    local.faults.hang()
    outcome = resolve("shop/orders", "--timeout", "0.05", "-o", "jsonl")
    assert outcome.code == 124
    assert json.loads(outcome.err)["error"]["code"] == "TimedOut"


def test_a_hanging_name_lookup_does_not_delay_the_exit(local):
    """Its thread cannot be cancelled."""
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
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=MAX_WAIT, check=False
    )
    assert (done.returncode, done.stdout) == (124, "looking up\n")
    assert "--timeout" in done.stderr


def test_hostile_attributes_are_harmless_in_every_format(resolve, monkeypatch):
    """AWS allows printable ASCII only, but another server may send anything."""
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


def test_an_output_without_unicode_gets_escapes(local, monkeypatch, run):
    """PYTHONIOENCODING=ascii is like a bare container."""

    def call(self, operation, members):
        common = {"NamespaceName": "shop", "ServiceName": "orders", "HealthStatus": "HEALTHY"}
        return {"Instances": [{"InstanceId": "1", "Attributes": {"A": "größe"}, **common}], "InstancesRevision": 1}

    monkeypatch.setattr(World, "call", call)
    outcome = run("resolve", "shop/orders", "-o", "table", PYTHONIOENCODING="ascii")
    assert (outcome.code, outcome.err) == (0, "")
    assert "gr\\xf6\\xdfe" in outcome.out


def test_a_terminal_gets_a_spinner_and_a_table(local, on_terminal):
    """Also for a single attribute."""
    outcome = on_terminal("resolve", "shop/orders", "--attribute", "QUEUE_URL")
    assert outcome.code == 0
    shown = outcome.err
    assert "https://q/orders" in shown
    assert "orders-2" in shown
    assert "resolving shop/orders" in shown


def test_no_color_turns_colours_off(local, on_terminal):
    """Bold text stays."""
    coloured = on_terminal("resolve", "shop/checked").err
    plain = on_terminal("resolve", "shop/checked", NO_COLOR="1").err
    assert "\x1b[32mHEALTHY" in coloured
    assert "\x1b[32m" not in plain


def test_force_color_only_colours_a_pipe(local, run):
    """The format stays, and there is no spinner."""
    outcome = run("resolve", "shop/checked", FORCE_COLOR="1")
    assert json.loads(outcome.out)["id"] == "well"
    assert outcome.err == ""
    assert "\x1b[32m" in run("resolve", "shop/checked", "-o", "table", FORCE_COLOR="1").out


def test_a_dumb_terminal_gets_no_spinner(local, on_terminal):
    """It cannot move its cursor."""
    shown = on_terminal("resolve", "shop/orders", TERM="dumb").err
    assert "resolving" not in shown
    assert "\x1b" not in shown


def test_ctrl_c_exits_with_130_and_no_message(local, command):
    """The call is waiting for AWS."""
    local.faults.hold()
    with subprocess.Popen(
        command("resolve", "shop/orders"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        _wait_until_held(local)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=MAX_WAIT)
    assert (process.returncode, out, err) == (130, "", "")


def test_sigterm_exits_with_143(local, command):
    """There is no message."""
    local.faults.hold()
    with subprocess.Popen(
        command("resolve", "shop/orders"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        _wait_until_held(local)
        process.terminate()
        out, err = process.communicate(timeout=MAX_WAIT)
    assert (process.returncode, out, err) == (143, "", "")


def test_a_closed_pipe_causes_no_traceback(local, command):
    """`aiocloudmap resolve ... | head -0`."""
    ours, theirs = os.pipe()
    os.close(ours)
    with os.fdopen(theirs, "wb") as pipe:
        done = subprocess.run(
            command("resolve", "shop/orders"), stdout=pipe, stderr=subprocess.PIPE, timeout=MAX_WAIT, check=False
        )
    assert (done.returncode, done.stderr) == (1, b"")


def test_debug_shows_logs_and_the_traceback(local, run):
    """The exit code and the error line stay."""
    outcome = run("--debug", "resolve", "shop/nothing")
    assert outcome.code == 3
    assert "Traceback" in outcome.err
    assert "INFO:" in outcome.err
    assert "error: shop/nothing" in outcome.err


def _wait_until_held(local):
    import asyncio

    asyncio.run(asyncio.wait_for(local.faults.until_held(), MAX_WAIT))


def test_a_terminal_with_zero_columns_gets_a_table(local, run):
    """COLUMNS may have any value."""
    outcome = run("resolve", "shop/orders", "-o", "table", COLUMNS="0")
    assert outcome.code == 0
    assert "orders-1" in outcome.out
    assert "orders-2" in outcome.out


def test_a_closed_standard_output_is_one_error_line(command):
    """`>&-` in a shell closes it."""
    closed = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *command("resolve", "shop/orders")],
        stderr=subprocess.PIPE,
        timeout=MAX_WAIT,
        check=False,
    )
    assert closed.returncode == 1
    assert closed.stderr == b"error: standard output is closed\n"
