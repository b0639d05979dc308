"""The resolver under attack, step by step beside the model of freshness."""

from __future__ import annotations

import logging
import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from tests.properties.attack import Attack

SHORT = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
if os.environ.get("FRESHNESS_HASTY"):
    # For code that is broken on purpose: whether it is seen is asked, not what the shortest way to see it is.
    SHORT = settings(SHORT, max_examples=400, phases=[Phase.generate])
EXAMPLES = int(os.environ.get("FRESHNESS_ATTACKS", "0"))
LONG = settings(SHORT, max_examples=max(EXAMPLES, 1), stateful_step_count=60, derandomize=False)


@pytest.fixture(autouse=True)
def quiet(caplog) -> None:
    """What the resolver logs of so many failures would hide the one that counts."""
    caplog.set_level(logging.CRITICAL, logger="aiocloudmap")


def test_under_attack_the_resolver_does_what_the_model_says():
    """Sixty attacks of up to forty steps; the same ones each time."""
    run_state_machine_as_test(Attack, settings=SHORT)


@pytest.mark.timeout(0)
@pytest.mark.skipif(not EXAMPLES, reason="FRESHNESS_ATTACKS says how many; the nox session `properties` does")
def test_under_long_attack_the_resolver_does_what_the_model_says(capsys):
    """Many attacks, other ones each time; tells how many steps they had."""
    before = Attack.steps
    run_state_machine_as_test(Attack, settings=LONG)
    with capsys.disabled():
        print(f"\n{Attack.steps - before} steps")
