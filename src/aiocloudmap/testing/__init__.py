"""For tests of programs that use aiocloudmap: time under control, and a clean slate."""

from aiocloudmap.testing.clock import ManualClock
from aiocloudmap.testing.slate import reset

__all__ = ["ManualClock", "reset"]
