"""How pytest loads the plugin, in new processes where every warning is an error."""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[3]
SUITE = """
import asyncio
import sys
import threading

import pytest

from aiocloudmap import CloudMap

orders = CloudMap().service("shop/orders")

def test_in_process(cloud_map, cloud_map_world, cloud_map_clock):
    cloud_map_world.register("shop/orders", "orders-1", {"QUEUE_URL": "here"})
    assert asyncio.run(orders.attribute("QUEUE_URL"), debug=True) == "here"
    cloud_map_clock.tick(31)
    assert asyncio.run(cloud_map.service("shop/orders").attribute("QUEUE_URL"), debug=True) == "here"
    assert not {"aiohttp", "botocore", "aiobotocore"} & set(sys.modules)

@pytest.mark.parametrize("turn", [1, 2])
def test_over_the_wire(cloud_map_server, cloud_map_world, turn):
    cloud_map_world.register("shop/orders", "orders-1", {"QUEUE_URL": "here"})
    for _ in range(2):
        assert asyncio.run(orders.attribute("QUEUE_URL"), debug=True) == "here"
    assert cloud_map_server.stats.calls["DiscoverInstances"] == 1

def test_nothing_is_left():
    assert threading.enumerate() == [threading.main_thread()]
    assert orders.peek() is None
"""


@pytest.fixture
def installed(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution with the project's entry points and sources."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    about = pytester.mkdir("site") / "aiocloudmap_of_the_tree-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: aiocloudmap-of-the-tree\nVersion: 1\n")
    points = "".join(f"{name} = {target}\n" for name, target in project["entry-points"]["pytest11"].items())
    (about / "entry_points.txt").write_text(f"[pytest11]\n{points}")
    path = [str(about.parent), str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))


@pytest.mark.parametrize("requested", [(), ("-p", "pytest_aiocloudmap")], ids=["by the entry point", "and by -p"])
def test_it_is_loaded_once_and_leaves_nothing_behind(pytester, installed, requested):
    """By its entry point alone, and together with `-p`; in asyncio's debug mode."""
    pytester.makepyfile(SUITE)
    # Other plugins load asyncio, aiohttp and more, and have their own warnings.
    alone = ("-p", "no:asyncio", "-p", "no:anyio", "-p", "no:hypothesispytest", "-p", "no:platformdirs")
    done = pytester.run(sys.executable, "-X", "dev", "-W", "error", "-m", "pytest", *requested, *alone, timeout=60)
    done.assert_outcomes(passed=4)
    assert done.stderr.str() == ""


def test_a_conftest_may_also_request_it(pytester, installed):
    """With `pytest_plugins`."""
    pytester.makeconftest("pytest_plugins = ['pytest_aiocloudmap']")
    pytester.makepyfile("def test_it(cloud_map_clock):\n    assert cloud_map_clock.timers == 0\n")
    options = ("-W", "error", "-p", "no:asyncio")
    pytester.run(sys.executable, "-m", "pytest", *options, timeout=60).assert_outcomes(passed=1)


def test_it_can_be_switched_off(pytester, installed):
    """By its name, as every plugin."""
    pytester.makepyfile("def test_it(cloud_map):\n    pass\n")
    options = ("-p", "no:pytest_aiocloudmap", "-p", "no:asyncio", "-W", "error")
    done = pytester.run(sys.executable, "-m", "pytest", *options, timeout=60)
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["*fixture 'cloud_map' not found*"])
