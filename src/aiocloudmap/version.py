"""The version, said once: the build takes it from here, and so does the user agent.

The installed metadata would say the same, after reading every folder of the path: longer than the first call takes.
"""

from __future__ import annotations

__all__ = ["VERSION"]

VERSION = "0.1.0"
