"""Parts of a client that aiobotocore binds to one event loop, used on several."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from types import SimpleNamespace

import pytest
from aiobotocore.awsrequest import AioAWSResponse
from aiobotocore.session import AioSession, get_session
from aiobotocore.tokens import AioDeferredRefreshableToken
from botocore.config import Config
from botocore.tokens import FrozenAuthToken
from canned_server import CannedServer, found, refused

from aiocloudmap import CloudMap

SHOP = {"NamespaceName": "shop", "ServiceName": "orders"}
LOOPS = 3


@pytest.fixture
def cloud_map(monkeypatch):
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    return CloudMap()


@pytest.fixture
def quick_retries(monkeypatch):
    """A hundred seconds of a rate limiter pass in one, and attempts follow at once."""
    waits = SimpleNamespace(
        Condition=asyncio.Condition,
        TimeoutError=TimeoutError,
        wait_for=lambda waiting, seconds: asyncio.wait_for(waiting, seconds / 100),
    )
    monkeypatch.setattr("aiobotocore.retries.bucket.asyncio", waits)
    monkeypatch.setattr("botocore.retries.bucket.Clock.current_time", lambda _: 100 * time.time())
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize("where", ["environment", "config"])
def test_adaptive_retries_work_on_every_loop(cloud_map, monkeypatch, where):
    """Calls wait for the rate of their own loop, after AWS has throttled some of them on each."""
    options = {}
    if where == "environment":
        monkeypatch.setenv("AWS_RETRY_MODE", "adaptive")
        cloud_map = CloudMap()
    else:
        options["config"] = Config(retries={"mode": "adaptive", "max_attempts": 4})
    per_loop = [refused("RequestLimitExceeded")] * 4 + [found("orders-1")] * 8
    with CannedServer(*per_loop * LOOPS) as server:

        async def eight() -> list[object]:
            client = await cloud_map.client("servicediscovery", endpoint_url=server.url, **options)
            assert client.meta.config.retries["mode"] == "adaptive"
            return await asyncio.gather(*(client.discover_instances(**SHOP) for _ in range(8)))

        assert [len(asyncio.run(eight())) for _ in range(LOOPS)] == [8] * LOOPS
        assert len(server.requests) == 12 * LOOPS
        if options:
            assert options["config"].retries == {"mode": "adaptive", "max_attempts": 4}


def test_s3_express_buckets_work_on_every_loop(cloud_map):
    """Several calls on each loop wait for the bucket's credentials, which end soon."""
    ends = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=9)
    created = (
        "<CreateSessionResult><Credentials><SessionToken>t</SessionToken><SecretAccessKey>s</SecretAccessKey>"
        f"<AccessKeyId>AKIDBUCKET</AccessKeyId><Expiration>{ends:%Y-%m-%dT%H:%M:%SZ}</Expiration></Credentials>"
        "</CreateSessionResult>"
    )

    async def read() -> bytes:
        await asyncio.sleep(0)  # the other calls come to the lock
        return created.encode()

    async def answer(request: object, **_: object) -> AioAWSResponse:
        return AioAWSResponse(request.url, 200, {}, SimpleNamespace(read=read))

    async def three() -> int:
        client = await cloud_map.client("s3")
        client.meta.events.register("before-send.s3", answer, unique_id="answer")
        calls = (client.delete_object(Bucket="b--euw1-az1--x-s3", Key=str(key)) for key in range(3))
        return len(await asyncio.gather(*calls))

    assert [asyncio.run(three()) for _ in range(LOOPS)] == [3] * LOOPS


def test_tokens_are_loaded_on_every_loop(cloud_map):
    """Services with bearer tokens share one token of the session, and its lock. Its source fails at first."""
    outcomes: list[object] = []

    async def renew() -> FrozenAuthToken:
        await asyncio.sleep(0)  # the other calls come to the lock
        if not outcomes:
            raise OSError
        return FrozenAuthToken("token", expiration=dt.datetime.now(dt.UTC) + dt.timedelta(hours=1))

    class Provider:
        METHOD = "own"

        def load_token(self, **_: object) -> AioDeferredRefreshableToken:
            return AioDeferredRefreshableToken("own", renew)

    def session() -> AioSession:
        sessions.append(get_session())
        sessions[0].register_component("token_provider", Provider())
        return sessions[0]

    sessions: list[AioSession] = []
    own = CloudMap(session_factory=session)

    async def three() -> list[object]:
        await own.client("sqs")
        token = sessions[0].get_auth_token()
        return await asyncio.gather(*(token.get_frozen_token() for _ in range(3)), return_exceptions=True)

    for _ in range(LOOPS):
        outcomes += [[type(outcome) for outcome in asyncio.run(three())]]
    assert outcomes == [[OSError] * 3, *[[FrozenAuthToken] * 3] * (LOOPS - 1)]
