"""For tests of programs that use aiocloudmap: a Cloud Map to order, time under control, and a clean slate.

The pytest plugin `pytest_aiocloudmap` makes fixtures of it.
"""

from aiocloudmap.testing.clock import ManualClock
from aiocloudmap.testing.fake_world import FakeWorld
from aiocloudmap.testing.override import every_cloud_map, reset

__all__ = ["FakeWorld", "ManualClock", "every_cloud_map", "reset"]
