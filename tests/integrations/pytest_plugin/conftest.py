"""Runs pytest inside a test, with the plugin and with warnings as errors."""

from __future__ import annotations

from collections.abc import Callable

import pytest

# An inner session unloads the modules that it was the first to load. These are loaded once for all of them.
for _module in (
    "boto3",
    "aiocloudmap.aws.backend",
    "aiocloudmap.aws.session",
    "aiocloudmap.aws.transport.transport",
    "aiocloudmap.local.cloud_map",
    "aiocloudmap.testing",
):
    __import__(_module)

IMPORTS = """
import asyncio
import unittest

import pytest

import aiocloudmap
from aiocloudmap import CloudMap, ConfigurationError, NamespaceNotFoundError, ThrottledError, UnavailableError
"""

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester) -> Run:
    """Runs the source of a test file in this process. `mode` is the mode of pytest-asyncio."""

    def run(source: str, *options: str, mode: str = "strict") -> pytest.RunResult:
        pytester.makepyfile(IMPORTS + source)
        settings = (f"asyncio_mode={mode}", "asyncio_default_fixture_loop_scope=function")
        overrides = [word for setting in settings for word in ("-o", setting)]
        # Hypothesis would otherwise be loaded at the end of each session.
        quick = ("-p", "no:hypothesispytest")
        return pytester.runpytest_inprocess("-p", "pytest_aiocloudmap", "-W", "error", *quick, *overrides, *options)

    return run
