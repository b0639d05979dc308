"""The resolver against the model of freshness, step by step."""

from __future__ import annotations

import logging
import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from tests.properties.state_machine import ResolverMachine

SHORT = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
if os.environ.get("FRESHNESS_HASTY"):
    # For code that is broken on purpose: any failing example is enough, not the shortest one.
    SHORT = settings(SHORT, max_examples=400, phases=[Phase.generate])
EXAMPLES = int(os.environ.get("FRESHNESS_ATTACKS", "0"))
LONG = settings(SHORT, max_examples=max(EXAMPLES, 1), stateful_step_count=60, derandomize=False)


@pytest.fixture(autouse=True)
def quiet(caplog) -> None:
    """Silence the logs of so many failures."""
    caplog.set_level(logging.CRITICAL, logger="aiocloudmap")


def test_the_resolver_matches_the_model():
    """Sixty runs of up to forty steps, the same ones each time."""
    run_state_machine_as_test(ResolverMachine, settings=SHORT)


@pytest.mark.timeout(0)
@pytest.mark.skipif(not EXAMPLES, reason="set FRESHNESS_ATTACKS, as the nox session `properties` does")
def test_in_long_runs_the_resolver_matches_the_model(capsys):
    """Many random runs. The number of steps is printed."""
    before = ResolverMachine.steps
    run_state_machine_as_test(ResolverMachine, settings=LONG)
    with capsys.disabled():
        print(f"\n{ResolverMachine.steps - before} steps")
