"""The pytest plugin of aiocloudmap: fixtures that put a fake in the place of Cloud Map.

pytest loads it in every session of everybody who has aiocloudmap installed. So it stands beside the package, not in it,
and loads the package when a fixture is asked for. Fixtures are synchronous and need no event loop: they work under
pytest-asyncio and anyio, in plain tests and in `unittest.TestCase`.

| fixture | what it is |
|---|---|
| cloud_map_clock | time, which stands still until `tick` |
| cloud_map_world | the fake that every CloudMap of the process asks while the test runs |
| cloud_map | a CloudMap of the test's own that asks it |
| cloud_map_server | the same fake behind AWS's wire protocol |

There is no assertion in it, so pytest need not mind who imports it first: PYTEST_DONT_REWRITE.

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

_MISLEADING = (
    "AWS_DEFAULT_PROFILE",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_PROFILE",
    "AWS_SECURITY_TOKEN",
    "AWS_SESSION_TOKEN",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_USE_FIPS_ENDPOINT",
)
"""What would lead an AWS client elsewhere, or is a secret that a local server need not see."""


@pytest.fixture
def cloud_map_clock() -> ManualClock:
    """The time of the test: it stands still until `cloud_map_clock.tick(31)`.

    Override it with one that returns `aiocloudmap.SYSTEM_CLOCK` where time has to pass by itself.
    """
    from aiocloudmap.testing import ManualClock

    return ManualClock()


@pytest.fixture
def cloud_map_world(cloud_map_clock: Clock) -> Iterator[FakeWorld]:
    """What every CloudMap of the process asks in this test, in place of AWS; those made at import included.

    Empty at first. Services, instances and faults are one line each, and end with the test, as all answers do.
    """
    from aiocloudmap.testing import FakeWorld, every_cloud_map

    world = FakeWorld(cloud_map_clock)
    with every_cloud_map(backend=world.backend, clock=cloud_map_clock):
        yield world
    world.faults.clear()


@pytest.fixture
def cloud_map(cloud_map_world: FakeWorld) -> CloudMap:  # noqa: ARG001 - it asks that world as all do in this test
    """A CloudMap that asks `cloud_map_world` and shares nothing with any other."""
    from aiocloudmap import CloudMap

    return CloudMap(shared=False)


@pytest.fixture
def cloud_map_server(cloud_map_world: FakeWorld, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalCloudMap]:
    """The same world behind AWS's wire protocol, on a port of this machine, in a thread of its own.

    The environment leads there: the program's own CloudMaps, and AWS clients of other libraries.
    """
    from aiocloudmap.testing import every_cloud_map

    with cloud_map_world.served() as local:
        for variable in _MISLEADING:
            monkeypatch.delenv(variable, raising=False)
        for variable, value in local.environment.items():
            monkeypatch.setenv(variable, value)
        for variable in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(variable, "127.0.0.1", prepend=",")
        with every_cloud_map(clock=cloud_map_world.clock):
            yield local
