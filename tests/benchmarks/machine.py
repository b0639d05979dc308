"""The machine, the versions and the load that belong beside every figure."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from pathlib import Path
from typing import Any

__all__ = ["describe"]

_PACKAGES = (
    "aiocloudmap",
    "aiobotocore",
    "botocore",
    "aiohttp",
    "cachetools",
    "boto3",
    "async-lru",
    "aiocache",
    "cashews",
    "theine",
    "cachebox",
    "aws-lambda-powertools",
)


def describe() -> dict[str, Any]:
    """Return all of it, without the machine's name."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "implementation": f"{platform.python_implementation()}, {_build()}, {platform.python_compiler()}",
        "load_before": round(os.getloadavg()[0], 2),
        "versions": {name: version for name in _PACKAGES if (version := _version(name))},
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _build() -> str:
    """Whether the interpreter was built with optimisation. Version managers often build without it."""
    import sysconfig

    arguments = sysconfig.get_config_var("CONFIG_ARGS") or ""
    profile = "with" if "--enable-optimizations" in arguments else "without"
    free = "" if getattr(sys, "_is_gil_enabled", lambda: True)() else ", free-threaded"
    return f"built {profile} profile-guided optimisation{free}"


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
