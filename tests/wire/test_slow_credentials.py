"""A source of credentials that takes longer than `discovery_timeout`."""

from __future__ import annotations

import asyncio

import pytest
from aiobotocore.credentials import AioCredentials
from aiobotocore.session import AioSession, get_session
from callers import Holder
from canned_server import CannedServer, found

from aiocloudmap import CachePolicy, CloudMap, DeadlineError
from aiocloudmap.aws.backend import AwsBackend
from aiocloudmap.aws.session import AwsSession
from aiocloudmap.aws.transport.transport import Transport
from aiocloudmap.model.policy import ConnectionPolicy
from aiocloudmap.testing import ManualClock

POLICY = ConnectionPolicy(connect_timeout=60, read_timeout=60, discovery_timeout=5)


class SlowProvider:
    """Returns keys once `gate` is open, as a credential_process would."""

    METHOD = "custom-process"
    CANONICAL_NAME = None

    def __init__(self) -> None:
        self.asked, self.gate, self.ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.loads = 0

    async def load(self) -> AioCredentials:
        self.loads += 1
        self.asked.set()
        try:
            await self.gate.wait()
        finally:
            self.ended.set()
        return AioCredentials("AKIDSLOW", "secret")

    def session(self) -> AioSession:
        session = get_session()
        session.get_component("credential_provider").insert_before("env", self)
        return session


@pytest.fixture
def stage():
    """Returns a function that makes a CloudMap on a clock that stands still, and its provider."""
    with CannedServer(found("orders-1")) as server:

        def stage(refresh: str) -> tuple[CloudMap, SlowProvider, ManualClock]:
            provider, clock = SlowProvider(), ManualClock()
            session = AwsSession(
                transport=Transport(),
                connections=POLICY,
                region="eu-west-1",
                endpoint_url=server.url,
                session_factory=provider.session,
                holder=Holder(),
            )
            cache = CachePolicy(refresh=refresh)
            return CloudMap(backend=AwsBackend(session), clock=clock, connections=POLICY, cache=cache), provider, clock

        yield stage


async def too_late(cloud_map: CloudMap, provider: SlowProvider, clock: ManualClock, **options) -> DeadlineError:
    """The error of a question whose deadline passes while the credentials load."""
    question = asyncio.ensure_future(cloud_map.service("shop/orders").resolve(**options))
    await provider.asked.wait()
    clock.tick(5)
    with pytest.raises(DeadlineError) as caught:
        await question
    return caught.value


@pytest.mark.parametrize("options", [{}, {"max_age": 0}])
async def test_a_slow_load_of_credentials_goes_on_for_the_next_question(stage, options):
    """The first question fails, and says what it waited for. The source is asked once."""
    cloud_map, provider, clock = stage("background")
    error = await too_late(cloud_map, provider, clock, **options)
    assert "no answer within 5 s: waiting for AWS credentials from credential_process" in str(error)
    assert "network" not in str(error)
    clock.tick(60)
    provider.gate.set()
    assert len(await cloud_map.service("shop/orders").resolve()) == 1
    assert provider.loads == 1


async def test_an_inline_question_leaves_no_load_of_credentials(stage):
    """Nothing may outlive an invocation: the load ends with the last question, and the next one starts another."""
    cloud_map, provider, clock = stage("inline")
    error = await too_late(cloud_map, provider, clock)
    assert "waiting for AWS credentials" in str(error)
    await provider.ended.wait()
    clock.tick(60)
    provider.gate.set()
    assert len(await cloud_map.service("shop/orders").resolve()) == 1
    assert provider.loads == 2


async def test_attributes_of_a_service_keep_a_slow_load_too(stage):
    """Their calls share a reading of lists, which is cancelled at the deadline; the load is not."""
    cloud_map, provider, clock = stage("background")
    question = asyncio.ensure_future(cloud_map.service("shop/orders").attributes())
    await provider.asked.wait()
    clock.tick(5)
    with pytest.raises(DeadlineError, match="waiting for AWS credentials"):
        await question
    clock.tick(60)
    provider.gate.set()
    await cloud_map.service("shop/orders").resolve()
    assert provider.loads == 1
