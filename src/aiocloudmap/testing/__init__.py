"""Tools for testing programs that use aiocloudmap: a fake Cloud Map, a clock under control, and a reset.

The pytest plugin `pytest_aiocloudmap` provides them as fixtures.
"""

from aiocloudmap.testing.clock import ManualClock
from aiocloudmap.testing.fake_world import FakeWorld
from aiocloudmap.testing.override import every_cloud_map, reset

__all__ = ["FakeWorld", "ManualClock", "every_cloud_map", "reset"]
