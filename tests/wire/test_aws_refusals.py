"""Refused calls: their error classes, and which of them botocore retries."""

from __future__ import annotations

import pytest
from backends import LONG_TIMEOUTS, ONE_ATTEMPT, ORDERS, discover, opened
from botocore.exceptions import ClientError
from canned_server import CannedServer, Reply, found, refused

from aiocloudmap import errors
from aiocloudmap.model.query import Query

pytestmark = pytest.mark.usefixtures("keys")


@pytest.fixture
def no_pauses(monkeypatch):
    """Retries without a pause."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda self, context: 0)


REFUSALS = [
    (refused("NamespaceNotFound"), errors.NamespaceNotFoundError),
    (refused("ServiceNotFound"), errors.ServiceNotFoundError),
    (refused("InvalidInput"), errors.InvalidRequestError),
    (refused("ValidationException"), errors.InvalidRequestError),
    (refused("AccessDeniedException"), errors.AccessDeniedError),
    (refused("AccessDenied", status=403), errors.AccessDeniedError),
    (refused("RequestLimitExceeded"), errors.ThrottledError),
    (refused("ThrottlingException"), errors.ThrottledError),
    (refused("TooManyRequestsException", status=429), errors.ThrottledError),
    (refused("SlowDown", status=503), errors.ThrottledError),
    (Reply(429, b"slow down"), errors.ThrottledError),
    (refused("ExpiredTokenException"), errors.CredentialsError),
    (refused("ExpiredToken", status=403), errors.CredentialsError),
    (refused("com.amazonaws.sd#UnrecognizedClientException"), errors.CredentialsError),
    (refused("InvalidClientTokenId", status=403), errors.CredentialsError),
    (refused("InvalidSignatureException"), errors.CredentialsError),
    (refused("SignatureDoesNotMatch", status=403), errors.CredentialsError),
    (refused("UnknownOperationException"), errors.RequestError),
    (refused("BrandNewException"), errors.RequestError),
    (Reply(404, b"<html>not here</html>"), errors.RequestError),
    (Reply(403), errors.RequestError),
    (refused("InternalFailure", status=500), errors.UnavailableError),
    (refused("ServiceUnavailable", status=503), errors.UnavailableError),
    (refused("NamespaceNotFound", status=500), errors.UnavailableError),
    (Reply(502, b"<html>bad gateway</html>"), errors.UnavailableError),
    (Reply(504), errors.UnavailableError),
    (Reply(400, b"[1]"), errors.ProtocolError),
]


@pytest.mark.parametrize(
    ("reply", "kind"), REFUSALS, ids=[f"{reply.status} {reply.body[:40]}" for reply, _ in REFUSALS]
)
async def test_each_refusal_has_its_class(reply, kind):
    """By AWS's code, or by the status if the answer has no code."""
    with CannedServer(reply) as server:
        with pytest.raises(errors.CloudMapError) as caught:
            await discover(server.url, connections=ONE_ATTEMPT)
    assert (type(caught.value), caught.value.service) == (kind, str(ORDERS.service))
    assert caught.value.__cause__ is not None
    assert len(server.requests) == 1


async def test_an_unknown_code_is_in_the_message():
    """Users search for it."""
    with CannedServer(refused("BrandNewException")) as server:
        with pytest.raises(errors.RequestError, match="BrandNewException") as caught:
            await discover(server.url)
    assert caught.value.code == "BrandNewException"


async def test_access_denied_names_the_caller_and_the_action():
    """AWS's own message names both."""
    words = "User: arn:aws:sts::1:assumed-role/shop is not authorized to perform: servicediscovery:DiscoverInstances"
    with CannedServer(refused("AccessDeniedException", words)) as server:
        with pytest.raises(errors.AccessDeniedError, match="assumed-role/shop is not authorized") as caught:
            await discover(server.url)
    assert caught.value.code == "AccessDeniedException"


@pytest.mark.parametrize(
    "code",
    ["InvalidInput", "SignatureDoesNotMatch", "InvalidSignatureException", "ExpiredToken", "Unknown", "Throttling"],
)
async def test_a_secret_is_never_in_a_message(code):
    """AWS quotes signed headers and values. They stay in the cause."""
    query = Query(ORDERS.service, where={"TOKEN": "TOPSECRET"})
    with CannedServer(refused(code, "x-amz-security-token:TOPSECRET\nTOPSECRET is not valid")) as server:
        with pytest.raises(errors.CloudMapError) as caught:
            await discover(server.url, query, ONE_ATTEMPT)
    assert "TOPSECRET" not in f"{caught.value} {caught.value!r}"
    assert "TOPSECRET" in str(caught.value.__cause__)


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize(
    ("reply", "attempts", "kind"),
    [
        (refused("RequestLimitExceeded"), 3, errors.ThrottledError),
        (refused("InternalFailure", status=500), 3, errors.UnavailableError),
        (Reply(close=True), 3, errors.ConnectError),
        (refused("ServiceNotFound"), 1, errors.ServiceNotFoundError),
    ],
)
async def test_temporary_failures_are_retried(reply, attempts, kind):
    """In botocore's standard mode, up to the policy's number of attempts."""
    with CannedServer(reply) as server:
        with pytest.raises(kind):
            await discover(server.url, connections=LONG_TIMEOUTS)
    assert len(server.requests) == attempts


@pytest.mark.usefixtures("no_pauses")
async def test_a_throttled_call_succeeds_at_the_second_attempt():
    """The caller does not notice."""
    with CannedServer(refused("RequestLimitExceeded"), found("orders-1")) as server:
        assert len((await discover(server.url)).instances) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(status):
    """A server could send the signed request, with the session token, to another host."""
    with CannedServer(found("elsewhere")) as elsewhere:
        with CannedServer(Reply(status, location=elsewhere.url)) as server:
            with pytest.raises(errors.ProtocolError, match=f"status {status}"):
                await discover(server.url, connections=ONE_ATTEMPT)
            sqs = await opened(None)[1].client("sqs", endpoint_url=server.url, region_name="eu-west-1")
            with pytest.raises(ClientError):
                await sqs.list_queues()
    assert elsewhere.requests == []
    assert len(server.requests) == 2
