"""Every source of credentials that botocore knows, used over the wire."""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import json
import re
import stat
import sys
import threading

import pytest
from callers import Holder
from canned_server import CannedServer, Reply, Request, found, refused

from aiocloudmap import errors
from aiocloudmap.aws.backend import AwsBackend
from aiocloudmap.aws.session import AwsSession
from aiocloudmap.aws.transport.transport import Transport
from aiocloudmap.model.policy import ConnectionPolicy
from aiocloudmap.model.query import Query, ServiceName

ORDERS = Query(ServiceName("shop", "orders"))
CROWDED = ConnectionPolicy(connect_timeout=60, read_timeout=60, max_connections=100, max_connections_per_host=100)


transport = functools.cache(Transport)  # one per process, as in an application


@pytest.fixture
def home(monkeypatch, tmp_path):
    """The folder of AWS's configuration files."""
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return tmp_path


@pytest.fixture(autouse=True)
def quick_sources(monkeypatch):
    """Failing sources are retried without a pause."""
    monkeypatch.setattr("aiobotocore.utils.AioContainerMetadataFetcher.SLEEP_TIME", 0)


def opened(url: str, **settings) -> tuple[AwsBackend, AwsSession]:
    """Return a backend for the server at this address, and its session."""
    defaults = {"connections": CROWDED, "region": "eu-west-1", "session_factory": None}
    session = AwsSession(transport=transport(), endpoint_url=url, holder=Holder(), **defaults | settings)
    return AwsBackend(session), session


def signed_with(requests: list[Request]) -> list[str]:
    """The access key of each request."""
    return [re.search(r"Credential=([^/]+)/", one.headers["Authorization"]).group(1) for one in requests]


def role(key: str, seconds: float = 3600) -> Reply:
    """The answer of a container's credentials endpoint."""
    return Reply.json({"AccessKeyId": key, "SecretAccessKey": "secret", "Token": "token", "Expiration": end(seconds)})


def end(seconds: float) -> str:
    """The time in that many seconds, as AWS writes it."""
    return (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
def cloud():
    """A Cloud Map that accepts any credentials."""
    with CannedServer(found("orders-1")) as server:
        yield server


@pytest.fixture
def container(monkeypatch):
    """A container's credentials endpoint."""
    with CannedServer(role("AKIDROLE")) as server:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", server.url)
        yield server


async def test_keys_of_the_environment(monkeypatch, cloud):
    """As in AWS Lambda."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    backend, _ = opened(cloud.url)
    await backend.discover(ORDERS)
    assert signed_with(cloud.requests) == ["AKIDENV"]
    assert cloud.requests[0].headers["X-Amz-Security-Token"] == "token"


async def test_keys_of_a_profile(monkeypatch, home, cloud):
    """AWS_PROFILE names it."""
    (home / "credentials").write_text("[shop]\naws_access_key_id=AKIDPROFILE\naws_secret_access_key=secret\n")
    monkeypatch.setenv("AWS_PROFILE", "shop")
    backend, _ = opened(cloud.url)
    await backend.discover(ORDERS)
    assert signed_with(cloud.requests) == ["AKIDPROFILE"]


async def test_keys_of_a_program(home, cloud):
    """The credential_process runs once."""
    program = home / "keys"
    answer = json.dumps({"Version": 1, "AccessKeyId": "AKIDPROCESS", "SecretAccessKey": "s", "Expiration": end(3600)})
    program.write_text(f"#!{sys.executable}\nopen(__file__ + '.runs', 'a').write('x')\nprint('''{answer}''')\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    (home / "config").write_text(f"[default]\ncredential_process = {program}\n")
    backend, _ = opened(cloud.url)
    await asyncio.gather(*(backend.discover(ORDERS) for _ in range(4)))
    assert (set(signed_with(cloud.requests)), (home / "keys.runs").read_text()) == ({"AKIDPROCESS"}, "x")


async def test_keys_of_a_machine(monkeypatch, cloud):
    """The instance metadata service, with its token."""

    def metadata(request: Request) -> Reply:
        if request.method == "PUT":
            return Reply(200, b"metadata-token")
        return Reply(200, b"shop-role") if request.path.endswith("/security-credentials/") else role("AKIDMACHINE")

    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    with CannedServer(metadata) as server:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url)
        backend, _ = opened(cloud.url)
        await backend.discover(ORDERS)
        await backend.discover(ORDERS)
    assert (set(signed_with(cloud.requests)), len(server.requests)) == ({"AKIDMACHINE"}, 3)


ASSUMED = (
    "<{0}Response><{0}Result><Credentials><AccessKeyId>AKIDASSUMED</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
    "<SessionToken>t</SessionToken><Expiration>{1}</Expiration></Credentials><AssumedRoleUser>"
    "<Arn>arn:aws:sts::123456789012:assumed-role/r/s</Arn><AssumedRoleId>A:s</AssumedRoleId></AssumedRoleUser>"
    "</{0}Result></{0}Response>"
)


@pytest.mark.parametrize("kind", ["AssumeRole", "AssumeRoleWithWebIdentity"])
async def test_keys_of_an_assumed_role(monkeypatch, home, cloud, kind):
    """STS is called once, in the Region of the argument."""
    if kind == "AssumeRole":
        (home / "config").write_text(
            "[default]\nrole_arn=arn:aws:iam::123456789012:role/r\ncredential_source=Environment\n"
        )
        monkeypatch.setenv("AWS_PROFILE", "default")
    else:
        (home / "token").write_text("web-token")
        monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/r")
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(home / "token"))
    with CannedServer(Reply(200, ASSUMED.format(kind, end(3600)).encode())) as sts:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
        if kind == "AssumeRole":
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        backend, _ = opened(cloud.url, session_factory=_without_env if kind == "AssumeRole" else None)
        await asyncio.gather(*(backend.discover(ORDERS) for _ in range(4)))
    assert (set(signed_with(cloud.requests)), len(sts.requests)) == ({"AKIDASSUMED"}, 1)


def _without_env():
    """A session that uses the environment's keys only to assume the role."""
    from aiobotocore.session import AioSession

    session = AioSession()
    session.get_component("credential_provider").remove("env")
    return session


async def test_a_refused_role_is_a_credentials_error(monkeypatch, home, cloud):
    """It names the operation; STS's own message stays in the cause."""
    (home / "token").write_text("web-token")
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/r")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(home / "token"))
    refusal = b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>TOPSECRET</Message></Error></ErrorResponse>"
    with CannedServer(Reply(403, refusal)) as sts:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
        with pytest.raises(errors.CredentialsError, match=r"AssumeRoleWithWebIdentity \(AccessDenied\)") as caught:
            await opened(cloud.url)[0].discover(ORDERS)
    assert "TOPSECRET" not in str(caught.value)
    assert caught.value.service == str(ORDERS.service)


@pytest.mark.parametrize("callers", [10, 1000])
async def test_many_first_callers_load_credentials_once(cloud, container, callers):
    """The container's endpoint gets one request."""
    backend, _ = opened(cloud.url)
    await asyncio.gather(*(backend.discover(ORDERS) for _ in range(callers)))
    assert (len(container.requests), set(signed_with(cloud.requests))) == (1, {"AKIDROLE"})


async def test_a_container_token_is_sent(monkeypatch, cloud, container):
    """EKS and restored snapshots need it."""
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "container-token")
    await opened(cloud.url)[0].discover(ORDERS)
    assert [request.headers["Authorization"] for request in container.requests] == ["container-token"]


async def test_credentials_about_to_expire_are_not_used(cloud, container):
    """They could expire during the request; the same client uses the next good ones."""
    container.replies = [role("AKIDFIRST", seconds=40), role("AKIDFIRST", seconds=20), role("AKIDSECOND")]
    backend, _ = opened(cloud.url)
    with pytest.raises(errors.CredentialsError, match="expired"):
        await backend.discover(ORDERS)
    await backend.discover(ORDERS)
    assert signed_with(cloud.requests) == ["AKIDSECOND"]


async def test_a_source_that_is_down_is_a_credentials_error(cloud, container):
    """An outage: an old answer may be used, and the next load may succeed."""
    container.replies = [Reply(500)] * 3 + [role("AKIDLATER")]
    backend, _ = opened(cloud.url)
    with pytest.raises(errors.CredentialsError, match="the AWS credentials cannot be loaded"):
        await backend.discover(ORDERS)
    await backend.discover(ORDERS)
    assert signed_with(cloud.requests) == ["AKIDLATER"]


@pytest.mark.parametrize("reply", [Reply(hang=True), Reply(close=True), Reply(200, b"garbage"), Reply.json({})])
async def test_a_source_with_invalid_answers_is_a_credentials_error(monkeypatch, cloud, container, reply):
    """It hangs, disconnects, or answers something else; botocore gives up after a few attempts."""
    if reply.hang:
        monkeypatch.setattr("aiobotocore.utils.AioContainerMetadataFetcher.TIMEOUT_SECONDS", 0.1)
    container.replies = [reply]
    with pytest.raises(errors.CredentialsError):
        await opened(cloud.url)[0].discover(ORDERS)


async def test_a_source_at_a_forbidden_address_is_an_error(monkeypatch, cloud):
    """Credentials come from this machine only, or over TLS."""
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://203.0.113.1/keys")
    with pytest.raises(errors.CredentialsError):
        await opened(cloud.url)[0].discover(ORDERS)


async def test_missing_credentials_are_a_configuration_error(cloud):
    """The message names possible sources."""
    with pytest.raises(errors.ConfigurationError, match="AWS_PROFILE") as caught:
        await opened(cloud.url)[0].discover(ORDERS)
    assert (caught.value.service, cloud.requests) == (str(ORDERS.service), [])


async def test_a_key_without_its_secret_is_a_configuration_error(monkeypatch, cloud):
    """Both must be set together."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    with pytest.raises(errors.ConfigurationError, match="half"):
        await opened(cloud.url)[0].discover(ORDERS)


async def test_credentials_that_are_set_later_are_found(monkeypatch, cloud):
    """That they were missing is not remembered."""
    backend, _ = opened(cloud.url)
    with pytest.raises(errors.ConfigurationError):
        await backend.discover(ORDERS)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    await backend.discover(ORDERS)
    assert signed_with(cloud.requests) == ["AKIDENV"]


@pytest.mark.parametrize("code", ["ExpiredTokenException", "UnrecognizedClientException"])
async def test_credentials_that_aws_rejects_are_loaded_again(home, code):
    """After a new login, a worker need not be restarted."""
    lines = "[default]\naws_access_key_id={}\naws_secret_access_key=secret\n"
    (home / "credentials").write_text(lines.format("AKIDOLD"))
    with CannedServer(refused(code), found("orders-1")) as cloud:
        backend, _ = opened(cloud.url)
        with pytest.raises(errors.CredentialsError):
            await backend.discover(ORDERS)
        (home / "credentials").write_text(lines.format("AKIDNEW"))
        await backend.discover(ORDERS)
    assert signed_with(cloud.requests) == ["AKIDOLD", "AKIDNEW"]


def test_successive_loops_renew_each_others_credentials(cloud, container):
    """No lock or HTTP session of an earlier loop is used."""
    backend, session = opened(cloud.url)

    async def discoveries():
        return await asyncio.gather(*(backend.discover(ORDERS) for _ in range(4)))

    for number in range(4):
        container.replies = [role(f"AKID{number}")]
        session.drop_credentials()
        asyncio.run(discoveries())
    assert signed_with(cloud.requests) == [f"AKID{number}" for number in range(4) for _ in range(4)]
    assert len(container.requests) == 4


def test_threads_load_credentials_independently(cloud, container):
    """Six loops at once, and none uses an object of another."""
    backend, session = opened(cloud.url)
    together, answers = threading.Barrier(6, timeout=60), []

    async def discoveries():
        for _ in range(3):
            together.wait()
            session.drop_credentials()
            answers.extend(await asyncio.gather(*(backend.discover(ORDERS) for _ in range(4))))

    threads = [threading.Thread(target=asyncio.run, args=(discoveries(),)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(answers), set(signed_with(cloud.requests))) == (72, {"AKIDROLE"})
