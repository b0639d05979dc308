from __future__ import annotations

import json
import os
import signal
import socket

import pytest

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


def test_what_it_says_to_set_is_all_that_resolve_needs(file, run, serving):
    """Two processes that share nothing but those lines."""
    with serving(str(file)) as served:
        assert "1 service, 1 instance" in served.introduction[0]
        outcome = run("resolve", "shop/orders", "--attribute", "QUEUE_URL", **served.exports)
    assert (outcome.code, outcome.out, outcome.err) == (0, "https://q/orders\n", "")


def test_without_a_file_it_serves_a_sample(run, serving):
    """And proposes a question that it can answer."""
    with serving() as served:
        name = served.introduction[-1].split()[-1]
        outcome = run("resolve", name, **served.exports)
    assert outcome.code == 0
    assert json.loads(outcome.out.splitlines()[0])["attributes"]


def test_a_changed_file_is_served(file, run, serving):
    """Without a restart, on the same port."""
    with serving(str(file)) as served:
        file.write_text(FILE.replace("https://q/orders", "https://q/somewhere-else"))
        served.said("again: 1 service, 1 instance")
        outcome = run("resolve", "shop/orders", "--attribute", "QUEUE_URL", **served.exports)
    assert outcome.out == "https://q/somewhere-else\n"


def test_a_file_that_breaks_leaves_what_was_there(file, run, serving):
    """A half-saved file must not take the services away."""
    with serving(str(file)) as served:
        file.write_text("[shop.orders")
        served.said("not TOML.*going on with what was there before")
        outcome = run("resolve", "shop/orders", "--attribute", "QUEUE_URL", **served.exports)
    assert outcome.out == "https://q/orders\n"


def test_sighup_reads_the_file_again(file, serving):
    """Also where it does not look by itself."""
    with serving("--no-reload", str(file)) as served:
        file.write_text(FILE + "[shop.mail]\n")
        served.process.send_signal(signal.SIGHUP)
        assert "2 services, 1 instance" in served.said("again")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_a_signal_ends_it_without_a_word(number, code, serving):
    """Ctrl-C as everywhere, SIGTERM as the end of a good service."""
    with serving() as served:
        outcome = served.end(number)
    assert (outcome.code, outcome.err) == (code, "")


def test_an_address_that_others_can_reach_is_warned_of(serving):
    """Nobody is asked who they are."""
    with serving("--host", "0.0.0.0") as served:
        assert "warning: 0.0.0.0" in served.said("other machines")


def test_a_port_in_use_is_a_clean_line(invoke):
    """With what to do instead."""
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
def test_a_broken_file_leaves_4_and_names_the_place(tmp_path, text, said, invoke):
    """At the start there is nothing else to serve."""
    path = tmp_path / "broken.toml"
    path.write_text(text)
    outcome = invoke("serve", str(path))
    assert (outcome.code, outcome.out) == (4, "")
    assert "broken.toml" in outcome.err
    assert said in outcome.err


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_a_file_that_cannot_be_read_leaves_4(tmp_path, name, invoke):
    """Missing, or a directory."""
    outcome = invoke("serve", os.fspath(tmp_path / name))
    assert outcome.code == 4
    assert "cannot be read" in outcome.err


def test_a_port_that_is_none_is_wrong_usage(invoke):
    """Ports end at 65535."""
    assert invoke("serve", "--port", "65536").code == 2
