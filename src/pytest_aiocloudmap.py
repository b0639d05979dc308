"""The pytest plugin of aiocloudmap: fixtures that replace Cloud Map with a fake.

pytest loads it in every session if aiocloudmap is installed. Therefore it is a module outside the package, and imports
the package only when a fixture is requested. Fixtures are synchronous and need no event loop: they work with
pytest-asyncio and anyio, in plain tests and in `unittest.TestCase`.

| fixture | what it is |
|---|---|
| cloud_map_clock | time, which stands still until `tick` |
| cloud_map_world | the fake that every CloudMap of the process asks during the test |
| cloud_map | a new CloudMap that asks it |
| cloud_map_server | the same fake behind AWS's wire protocol |

It contains no assertions, so pytest need not rewrite it: PYTEST_DONT_REWRITE.

Source: https://docs.pytest.org/en/stable/how-to/writing_plugins.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from aiocloudmap import Clock, CloudMap
    from aiocloudmap.local import LocalCloudMap
    from aiocloudmap.testing import FakeWorld, ManualClock

__all__ = ["cloud_map", "cloud_map_clock", "cloud_map_server", "cloud_map_world"]

_HIDDEN_VARIABLES = (
    "AWS_DEFAULT_PROFILE",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_PROFILE",
    "AWS_SECURITY_TOKEN",
    "AWS_SESSION_TOKEN",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_USE_FIPS_ENDPOINT",
)
"""Variables that would lead an AWS client elsewhere, or contain secrets that a local server does not need."""


@pytest.fixture
def cloud_map_clock() -> ManualClock:
    """The time of the test, which stands still until `cloud_map_clock.tick(31)`.

    Override it with a fixture that returns `aiocloudmap.SYSTEM_CLOCK` to use real time.
    """
    from aiocloudmap.testing import ManualClock

    return ManualClock()


@pytest.fixture
def cloud_map_world(cloud_map_clock: Clock) -> Iterator[FakeWorld]:
    """The fake that every CloudMap of the process asks in this test, also a CloudMap created at import.

    It is empty at first. Services, instances, faults and cached answers end with the test.
    """
    from aiocloudmap.testing import FakeWorld, every_cloud_map

    world = FakeWorld(cloud_map_clock)
    with every_cloud_map(backend=world.backend, clock=cloud_map_clock):
        yield world
    world.faults.clear()


@pytest.fixture
def cloud_map(cloud_map_world: FakeWorld) -> CloudMap:  # noqa: ARG001 - redirects every CloudMap
    """A CloudMap that asks `cloud_map_world` and shares nothing with any other."""
    from aiocloudmap import CloudMap

    return CloudMap(shared=False)


@pytest.fixture
def cloud_map_server(cloud_map_world: FakeWorld, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalCloudMap]:
    """The same world behind AWS's wire protocol, on a local port, in its own thread.

    The environment leads the program's CloudMaps and other AWS clients to it.
    """
    from aiocloudmap.testing import every_cloud_map

    with cloud_map_world.served() as local:
        for variable in _HIDDEN_VARIABLES:
            monkeypatch.delenv(variable, raising=False)
        for variable, value in local.environment.items():
            monkeypatch.setenv(variable, value)
        for variable in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(variable, "127.0.0.1", prepend=",")
        with every_cloud_map(clock=cloud_map_world.clock):
            yield local
