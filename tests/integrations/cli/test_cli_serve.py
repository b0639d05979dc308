from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from aiocloudmap.local import LocalCloudMap

FILE = """
[shop.orders.instances.orders-1]
QUEUE_URL = "https://q/orders"
"""


@pytest.fixture
def file(tmp_path):
    """One service with one instance."""
    path = tmp_path / "services.toml"
    path.write_text(FILE)
    return path


def test_resolve_needs_only_the_printed_variables(file, run, serving):
    """Two processes share nothing else."""
    with serving(str(file)) as served:
        assert "1 service, 1 instance" in served.introduction[0]
        outcome = run("resolve", "shop/orders", "--attribute", "QUEUE_URL", **served.exports)
    assert (outcome.code, outcome.out, outcome.err) == (0, "https://q/orders\n", "")


DISCOVER_WITH_BOTO3 = """
import boto3
answer = boto3.client("servicediscovery").discover_instances(NamespaceName="shop", ServiceName="orders")
print([each["InstanceId"] for each in answer["Instances"]])
"""


def test_the_printed_variables_lead_boto3_to_it(file, serving):
    """Also DiscoverInstances, which has a host prefix that no local name has."""
    with serving(str(file)) as served:
        variables = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        asked = subprocess.run(
            [sys.executable, "-c", DISCOVER_WITH_BOTO3],
            env=variables | served.exports,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (asked.returncode, asked.stdout) == (0, "['orders-1']\n"), asked.stderr


def test_its_variables_are_those_of_local_cloud_map(serving):
    """But for the two that hide the user's files."""
    with serving() as served, LocalCloudMap() as local:
        assert served.exports.keys() == local.environment.keys() - {"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"}
        same = served.exports.keys() - {"AWS_ENDPOINT_URL_SERVICEDISCOVERY"}
        assert all(served.exports[name] == local.environment[name] for name in same)


def test_without_a_file_it_serves_a_sample(run, serving):
    """It prints a command that works."""
    with serving() as served:
        name = served.introduction[-1].split()[-1]
        outcome = run("resolve", name, **served.exports)
    assert outcome.code == 0
    assert json.loads(outcome.out.splitlines()[0])["attributes"]


def test_a_changed_file_is_served(file, run, serving):
    """The port stays the same."""
    with serving(str(file)) as served:
        file.write_text(FILE.replace("https://q/orders", "https://q/somewhere-else"))
        served.said("again: 1 service, 1 instance")
        outcome = run("resolve", "shop/orders", "--attribute", "QUEUE_URL", **served.exports)
    assert outcome.out == "https://q/somewhere-else\n"


def test_a_broken_file_keeps_the_previous_world(file, run, serving):
    """A file may be read while an editor saves it."""
    with serving(str(file)) as served:
        file.write_text("[shop.orders")
        served.said("TOML.*still serving the previous world")
        outcome = run("resolve", "shop/orders", "--attribute", "QUEUE_URL", **served.exports)
    assert outcome.out == "https://q/orders\n"


def test_sighup_reads_the_file_again(file, serving):
    """It works without --reload too."""
    with serving("--no-reload", str(file)) as served:
        file.write_text(FILE + "[shop.mail]\n")
        served.process.send_signal(signal.SIGHUP)
        assert "2 services, 1 instance" in served.said("again")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_a_signal_ends_it_without_a_message(number, code, serving):
    """SIGTERM is a normal end of a server."""
    with serving() as served:
        outcome = served.end(number)
    assert (outcome.code, outcome.err) == (code, "")


def test_an_address_that_others_can_reach_causes_a_warning(serving):
    """The server has no authentication."""
    with serving("--host", "0.0.0.0") as served:
        assert "warning: 0.0.0.0" in served.said("other machines")


def test_a_port_in_use_is_one_error_line(invoke):
    """It names the port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        outcome = invoke("serve", "--port", port)
    assert (outcome.code, outcome.out) == (4, "")
    assert port in outcome.err
    assert "in use" in outcome.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[shop.orders", "not TOML"),
        ("shop = 1", "[shop]"),
        ("[shop.orders.instances.orders-1]\nPORT = 80", 'PORT = "..."'),
        ('["sh op".orders]', "namespace"),
        ("[shop.orders]\ninstanzes = {}", "instances"),
    ],
)
def test_a_broken_file_exits_with_4_and_names_the_place(tmp_path, text, said, invoke):
    """At the start there is no previous world."""
    path = tmp_path / "broken.toml"
    path.write_text(text)
    outcome = invoke("serve", str(path))
    assert (outcome.code, outcome.out) == (4, "")
    assert "broken.toml" in outcome.err
    assert said in outcome.err


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_an_unreadable_file_exits_with_4(tmp_path, name, invoke):
    """It is missing, or a directory."""
    outcome = invoke("serve", os.fspath(tmp_path / name))
    assert outcome.code == 4
    assert "cannot be read" in outcome.err


def test_an_invalid_port_is_wrong_usage(invoke):
    """Ports end at 65535."""
    assert invoke("serve", "--port", "65536").code == 2
