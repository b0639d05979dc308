"""The version, for the build and for the user agent.

The installed metadata has it too, but reading it takes longer than a program's first call.
"""

from __future__ import annotations

__all__ = ["VERSION"]

VERSION = "0.1.0"
