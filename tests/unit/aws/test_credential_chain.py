"""The session's own chain of credential providers, asked on one event loop after another."""

from __future__ import annotations

import asyncio

import pytest
from aiobotocore.credentials import (
    AioContainerProvider,
    AioCredentials,
    AioEnvProvider,
    AioInstanceMetadataProvider,
)
from aiobotocore.session import AioSession

from aiocloudmap.aws.credentials import CredentialChain


class Custom:
    """A provider as an application writes one."""

    METHOD = "custom"
    CANONICAL_NAME = "custom"

    async def load(self):
        return AioCredentials("custom", "secret")


async def test_a_provider_that_the_application_inserted_is_used(monkeypatch):
    """It is inserted in botocore's documented way, and comes first."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "env")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    session = AioSession()
    session.get_component("credential_provider").insert_before("env", Custom())
    assert (await CredentialChain(session, None).load()).access_key == "custom"


async def test_a_provider_that_the_application_removed_is_not_used(monkeypatch):
    """The application decides on the chain."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "env")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    session = AioSession()
    session.get_component("credential_provider").remove("env")
    assert await CredentialChain(session, None).load() is None


@pytest.mark.parametrize("asynchronous", [True, False])
async def test_a_component_of_the_application_is_called_as_it_is(asynchronous):
    """Whether or not it is asynchronous."""

    class Own:
        def load_credentials(self):
            found = AioCredentials("own", "secret")
            return asyncio.sleep(0, found) if asynchronous else found

    session = AioSession()
    session.register_component("credential_provider", Own())
    assert (await CredentialChain(session, None).load()).access_key == "own"


async def test_the_applications_cache_of_assumed_roles_is_used(monkeypatch, tmp_path):
    """With a file cache shared with the command line, a person need not type a code again."""

    class Cache(dict):
        pass

    config = tmp_path / "config"
    config.write_text("[default]\nrole_arn=arn:aws:iam::123456789012:role/r\ncredential_source=Environment\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    session, seen = AioSession(), []
    provider = session.get_component("credential_provider").get_provider("assume-role")
    provider.cache = Cache()

    async def load(self):
        seen.append(self)
        return AioCredentials("role", "secret")

    monkeypatch.setattr(type(provider), "load", load)
    await CredentialChain(session, "eu-west-1").load()
    assert [(used is provider, used.cache is provider.cache) for used in seen] == [(False, True)]


@pytest.mark.parametrize(
    ("provider_class", "distinct"), [(AioContainerProvider, 2), (AioInstanceMetadataProvider, 2), (AioEnvProvider, 1)]
)
async def test_providers_bound_to_a_loop_are_made_for_each_load(monkeypatch, provider_class, distinct):
    """No HTTP session is used by two loads; a provider that only reads variables is the session's own."""
    asked = []

    async def load(self):
        asked.append(self)

    monkeypatch.setattr(provider_class, "load", load)
    chain = CredentialChain(AioSession(), None)
    await chain.load()
    await chain.load()
    assert (len(asked), len({id(provider) for provider in asked})) == (2, distinct)
