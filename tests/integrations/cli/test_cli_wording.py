"""The errors of `aiocloudmap resolve` give advice about its own options."""

from __future__ import annotations

import pytest


@pytest.fixture
def resolve(environment, monkeypatch, invoke):
    """Runs `aiocloudmap resolve` in this process, with keys but without a Region."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    return lambda *arguments: invoke("resolve", *arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "hint: Set AWS_REGION, pass --region, or"),
        (["--region", "eu west"], "error: invalid --region 'eu west': expected a name like 'eu-west-1'\n"),
        (
            ["--endpoint-url", "nonsense"],
            "error: invalid --endpoint-url: expected an http or https URL\n  hint: Use one",
        ),
        (["--profile", "nobody"], "hint: Check --profile, AWS_CONFIG_FILE"),
        (["--region", "eu-west-1", "--endpoint-url", "http://127.0.0.1:1"], "hint: Check --region, --endpoint-url,"),
    ],
)
def test_advice_names_options_instead_of_python(resolve, arguments, said):
    """The reader has a command line, not a program."""
    outcome = resolve("shop/orders", *arguments)
    assert said in outcome.err
    for python in ("CloudMap(", "endpoint_url", "None", "__cause__"):
        assert python not in outcome.err


def test_advice_keeps_the_names_of_settings_elsewhere(resolve, monkeypatch):
    """A wrong variable is not an option's mistake."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "nonsense")
    assert "invalid AWS_ENDPOINT_URL" in resolve("shop/orders", "--region", "eu-west-1").err
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert "Check AWS_PROFILE" in resolve("shop/orders", "--region", "eu-west-1").err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["resolve", "shop/orders", "-o", "yaml"], "'--output' / '-o': 'yaml' is not one of 'table', 'json',"),
        (["resolve", "shop/orders", "--health", "fine"], "'--health': 'fine' is not one of 'healthy',"),
        (["plan", "--processes", "1", "--services", "1", "-o", "yaml"], "'--output' / '-o': 'yaml' is not one of"),
        (["plan", "--processes", "1", "--services", "1", "--refresh", "auto"], "'--refresh': 'auto' is not one of"),
    ],
)
def test_a_wrong_choice_is_named_without_a_validators_words(invoke, arguments, said):
    """With the oldest and the newest typer."""
    outcome = invoke(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert f"Invalid value for {said}" in " ".join(outcome.err.replace("│", " ").split())
