from __future__ import annotations

import asyncio
import functools
import logging
import ssl
import threading
import uuid

import pytest
import trustme
from aiobotocore.session import AioSession
from canned_server import CannedServer, Reply, found, refused
from moto.server import ThreadedMotoServer

from aiocloudmap import errors
from aiocloudmap.aws.backend import AwsBackend
from aiocloudmap.aws.session import AwsSession
from aiocloudmap.aws.transport import Transport
from aiocloudmap.model import HealthFilter, HealthStatus, Query, ServiceName
from aiocloudmap.settings import ConnectionPolicy

ORDERS = Query(ServiceName("shop", "orders"))
PATIENT = ConnectionPolicy(connect_timeout=60, read_timeout=60)
ONE_ATTEMPT = ConnectionPolicy(connect_timeout=60, read_timeout=60, max_attempts=1)
CROWDED = ConnectionPolicy(connect_timeout=60, read_timeout=60, max_connections=100, max_connections_per_host=100)


transport = functools.cache(Transport)  # one per process, as in an application


@pytest.fixture(autouse=True)
def keys(monkeypatch, environment):
    """Static credentials and a Region."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")


@pytest.fixture
def no_pauses(monkeypatch):
    """Retries follow at once."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda self, context: 0)


@pytest.fixture(scope="module")
def moto_url():
    """Moto's server, for all tests of this file."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def opened(url: str | None, connections: ConnectionPolicy | None = None, factory=None) -> tuple[AwsBackend, AwsSession]:
    """A backend for the server at this address, and its session."""
    session = AwsSession(
        transport=transport(),
        connections=connections or PATIENT,
        region=None,
        endpoint_url=url,
        session_factory=factory,
        holder=object(),
    )
    return AwsBackend(session), session


async def ask(url: str, query: Query = ORDERS, connections: ConnectionPolicy | None = None):
    """One question by a backend of its own."""
    backend, _ = opened(url, connections)
    return await backend.discover(query)


async def filled(session: AwsSession, count: int = 1, **attributes: str) -> ServiceName:
    """A new service on moto with `count` instances."""
    name = ServiceName(f"ns-{uuid.uuid4().hex}", "orders")
    client = await session.client("servicediscovery")
    await client.create_http_namespace(Name=name.namespace)
    pages = (await client.list_namespaces())["Namespaces"]
    namespace = next(item["Id"] for item in pages if item["Name"] == name.namespace)
    service = (await client.create_service(Name=name.service, NamespaceId=namespace))["Service"]["Id"]
    for number in range(count):
        await client.register_instance(
            ServiceId=service, InstanceId=f"i-{number}", Attributes={"NUMBER": str(number), **attributes}
        )
    return name


# Against moto's server


async def test_every_instance_of_a_service_is_found(moto_url):
    """More than the hundred that AWS gives to who does not say how many."""
    backend, session = opened(moto_url)
    name = await filled(session, 150)
    found_ = await backend.discover(Query(name))
    assert {(item.id, item.attributes["NUMBER"]) for item in found_.instances} == {
        (f"i-{number}", str(number)) for number in range(150)
    }


async def test_what_must_match_and_what_would_be_nice_are_told_apart(moto_url):
    """`where` filters; `prefer` does where it can."""
    backend, session = opened(moto_url)
    name = await filled(session, 3, STAGE="live")
    answers = [
        await backend.discover(Query(name, where=(("NUMBER", "1"),))),
        await backend.discover(Query(name, where=(("NUMBER", "9"),))),
        await backend.discover(Query(name, prefer=(("NUMBER", "2"),))),
        await backend.discover(Query(name, prefer=(("NUMBER", "9"),))),
    ]
    ids = [sorted(item.id for item in answer.instances) for answer in answers]
    assert ids == [["i-1"], [], ["i-2"], ["i-0", "i-1", "i-2"]]


async def test_an_empty_service_is_an_answer(moto_url):
    """Nobody there is not an error."""
    backend, session = opened(moto_url)
    assert (await backend.discover(Query(await filled(session, 0)))).instances == ()


async def test_an_unknown_namespace_and_an_unknown_service_are_told_apart(moto_url):
    """Each has its own causes, and the message names them."""
    backend, session = opened(moto_url)
    name = await filled(session)
    with pytest.raises(errors.NamespaceNotFoundError, match="HttpName") as namespace:
        await backend.discover(ORDERS)
    with pytest.raises(errors.ServiceNotFoundError, match="eu-west-1") as service:
        await backend.discover(Query(ServiceName(name.namespace, "nobody")))
    assert (namespace.value.service, service.value.service) == (ORDERS.service, ServiceName(name.namespace, "nobody"))


# What goes over the wire


async def test_the_question_is_asked_in_full():
    """MaxResults and HealthStatus always, the rest where it is given."""
    query = Query(
        ORDERS.service, health=HealthFilter.ALL, where={"A": "1"}, prefer={"B": "2"}, owner_account="123456789012"
    )
    with CannedServer(found()) as server:
        await ask(server.url)
        await ask(server.url, query)
    plain = {
        "NamespaceName": "shop",
        "ServiceName": "orders",
        "MaxResults": 1000,
        "HealthStatus": "HEALTHY_OR_ELSE_ALL",
    }
    full = {"QueryParameters": {"A": "1"}, "OptionalParameters": {"B": "2"}, "OwnerAccount": "123456789012"}
    assert [asked.parameters for asked in server.asked] == [plain, {**plain, "HealthStatus": "ALL", **full}]
    assert server.asked[0].headers["X-Amz-Target"] == "Route53AutoNaming_v20170314.DiscoverInstances"


async def test_the_answer_becomes_instances():
    """With id, health and attributes."""
    with CannedServer(found("orders-1")) as server:
        answer = await ask(server.url)
    (instance,) = answer.instances
    assert (instance.id, instance.service, instance.health, dict(instance.attributes), answer.revision) == (
        "orders-1",
        ORDERS.service,
        HealthStatus.HEALTHY,
        {"QUEUE_URL": "https://orders-1"},
        7,
    )


def instances(*items: object, **fields: object) -> Reply:
    """An answer with anything for instances."""
    return Reply.json({"Instances": list(items), **fields})


GARBAGE = {
    "nothing": Reply(),
    "html": Reply(200, b"<html><body>Welcome to our hotel</body></html>"),
    "text": Reply(200, b"OK"),
    "cut json": Reply(200, found("orders-1").body[:-9]),
    "not utf-8": Reply(200, b"\xff\xfe\x00"),
    "a list": Reply.json([]),
    "a number": Reply.json(7),
    "null": Reply.json(None),
    "an object without instances": Reply.json({}),
    "null for instances": Reply.json({"Instances": None}),
    "an object for instances": Reply.json({"Instances": {"i-1": {}}}),
    "text for instances": Reply.json({"Instances": "i-1"}),
    "a number for instances": Reply.json({"Instances": 5}),
    "text for an instance": instances("i-1"),
    "null for an instance": instances(None),
    "no id": instances({"Attributes": {}}),
    "an empty id": instances({"InstanceId": ""}),
    "a number for an id": instances({"InstanceId": 5}),
    "a list for attributes": instances({"InstanceId": "i", "Attributes": []}),
    "text for attributes": instances({"InstanceId": "i", "Attributes": "A=b"}),
    "a number for a value": instances({"InstanceId": "i", "Attributes": {"PORT": 80}}),
    "null for a value": instances({"InstanceId": "i", "Attributes": {"PORT": None}}),
    "text for the revision": instances(InstancesRevision="7"),
    "a truth value for the revision": instances(InstancesRevision=True),
    "a connection that ends too early": found("orders-1")._replace(cut=True),
}


@pytest.mark.parametrize("reply", GARBAGE.values(), ids=GARBAGE)
async def test_what_aws_does_not_send_is_a_protocol_error(reply):
    """Whatever it is, and never an error of Python's own."""
    with CannedServer(reply) as server:
        with pytest.raises(errors.ProtocolError) as caught:
            await ask(server.url, connections=ONE_ATTEMPT)
    assert caught.value.service == ORDERS.service


LENIENT = {
    "no revision": (instances({"InstanceId": "i"}), ("i", HealthStatus.UNKNOWN, {}, None)),
    "null attributes": (instances({"InstanceId": "i", "Attributes": None}), ("i", HealthStatus.UNKNOWN, {}, None)),
    "a health of the future": (
        instances({"InstanceId": "i", "HealthStatus": "SLEEPY"}, InstancesRevision=1),
        ("i", HealthStatus.UNKNOWN, {}, 1),
    ),
    "a field of the future": (
        instances({"InstanceId": "i", "Mood": "good"}, Weather="fine"),
        ("i", HealthStatus.UNKNOWN, {}, None),
    ),
}


@pytest.mark.parametrize(("reply", "expected"), LENIENT.values(), ids=LENIENT)
async def test_what_aws_may_come_to_send_is_understood(reply, expected):
    """Something missing or new is no reason to fail."""
    with CannedServer(reply) as server:
        answer = await ask(server.url)
    (item,) = answer.instances
    assert (item.id, item.health, dict(item.attributes), answer.revision) == expected


# What AWS refuses


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
    """By AWS's code, or by the status where there is none."""
    with CannedServer(reply) as server:
        with pytest.raises(errors.CloudMapError) as caught:
            await ask(server.url, connections=ONE_ATTEMPT)
    assert (type(caught.value), caught.value.service) == (kind, ORDERS.service)
    assert caught.value.__cause__ is not None
    assert len(server.asked) == 1


async def test_an_unknown_code_is_told():
    """It is what one searches for."""
    with CannedServer(refused("BrandNewException")) as server:
        with pytest.raises(errors.RequestError, match="BrandNewException") as caught:
            await ask(server.url)
    assert caught.value.code == "BrandNewException"


async def test_access_denied_says_who_may_not_do_what():
    """AWS's own words name the role and the action."""
    words = "User: arn:aws:sts::1:assumed-role/shop is not authorized to perform: servicediscovery:DiscoverInstances"
    with CannedServer(refused("AccessDeniedException", words)) as server:
        with pytest.raises(errors.AccessDeniedError, match="assumed-role/shop is not authorized") as caught:
            await ask(server.url)
    assert caught.value.code == "AccessDeniedException"


@pytest.mark.parametrize(
    "code",
    ["InvalidInput", "SignatureDoesNotMatch", "InvalidSignatureException", "ExpiredToken", "Unheard", "Throttling"],
)
async def test_no_secret_gets_into_a_message(code):
    """AWS quotes signed headers and values; they stay in the cause."""
    query = Query(ORDERS.service, where={"TOKEN": "TOPSECRET"})
    with CannedServer(refused(code, "x-amz-security-token:TOPSECRET\nTOPSECRET is not valid")) as server:
        with pytest.raises(errors.CloudMapError) as caught:
            await ask(server.url, query, ONE_ATTEMPT)
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
async def test_what_may_pass_is_tried_again(reply, attempts, kind):
    """Botocore's standard mode, as often as the policy says, the first attempt included."""
    with CannedServer(reply) as server:
        with pytest.raises(kind):
            await ask(server.url, connections=PATIENT)
    assert len(server.asked) == attempts


@pytest.mark.usefixtures("no_pauses")
async def test_a_throttled_question_is_answered_at_the_second_attempt():
    """The caller sees nothing of it."""
    with CannedServer(refused("RequestLimitExceeded"), found("orders-1")) as server:
        assert len((await ask(server.url)).instances) == 1


# What keeps an answer from coming


async def test_a_server_that_hangs_is_given_up():
    """After the read time-out."""
    with CannedServer(Reply(hang=True)) as server:
        with pytest.raises(errors.DeadlineError, match="localhost"):
            await ask(server.url, connections=ConnectionPolicy(connect_timeout=60, read_timeout=0.1, max_attempts=1))


async def test_a_connection_that_breaks_is_a_connect_error():
    """The server went away before it said anything."""
    with CannedServer(Reply(close=True)) as server:
        with pytest.raises(errors.ConnectError, match="broke"):
            await ask(server.url, connections=ONE_ATTEMPT)


async def test_a_refused_connection_is_a_connect_error():
    """With the endpoint, the reason and what to check."""
    with CannedServer(found()) as server:
        url = server.url
    with pytest.raises(errors.ConnectError, match=r"localhost:\d+, ECONNREFUSED"):
        await ask(url, connections=ONE_ATTEMPT)


@pytest.fixture(scope="module")
def authority():
    """A certificate authority that nobody knows."""
    return trustme.CA()


def tls_of(authority: trustme.CA, name: str) -> ssl.SSLContext:
    """A server's side of TLS, with a certificate for this name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


async def test_an_unknown_authority_is_refused(authority):
    """Nothing is sent, and the message names AWS_CA_BUNDLE."""
    with CannedServer(found(), tls=tls_of(authority, "localhost")) as server:
        with pytest.raises(errors.ConnectError, match="AWS_CA_BUNDLE"):
            await ask(server.url, connections=ONE_ATTEMPT)
    assert server.asked == []


async def test_a_certificate_for_another_host_is_refused(authority, monkeypatch, tmp_path):
    """Even where the authority is known."""
    monkeypatch.setenv("AWS_CA_BUNDLE", bundle_of(authority, tmp_path))
    with CannedServer(found(), tls=tls_of(authority, "other.example")) as server:
        with pytest.raises(errors.ConnectError, match="host name"):
            await ask(server.url, connections=ONE_ATTEMPT)
    assert server.asked == []


def bundle_of(authority, folder) -> str:
    """The file for AWS_CA_BUNDLE."""
    path = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


async def test_an_authority_of_ones_own_is_accepted(authority, monkeypatch, tmp_path):
    """In the file that AWS_CA_BUNDLE names."""
    monkeypatch.setenv("AWS_CA_BUNDLE", bundle_of(authority, tmp_path))
    with CannedServer(found("orders-1"), tls=tls_of(authority, "localhost")) as server:
        assert len((await ask(server.url)).instances) == 1


async def test_a_bundle_that_is_not_there_is_a_configuration_error(authority, monkeypatch, tmp_path):
    """Trying again would not help."""
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "missing.pem"))
    with CannedServer(found(), tls=tls_of(authority, "localhost")) as server:
        with pytest.raises(errors.ConfigurationError, match="certificate file"):
            await ask(server.url, connections=ONE_ATTEMPT)


async def test_a_proxy_that_is_not_there_is_a_connect_error(monkeypatch):
    """It names the variables that set it."""
    with CannedServer(found()) as server:
        monkeypatch.setenv("HTTPS_PROXY", server.url)
    with pytest.raises(errors.ConnectError, match="HTTPS_PROXY"):
        await ask("https://aws.invalid", connections=ONE_ATTEMPT)


async def test_a_proxy_is_used(monkeypatch):
    """Botocore's variables hold on the shared connections too."""
    with CannedServer(found("orders-1")) as server:
        monkeypatch.setenv("HTTP_PROXY", server.url)
        answer = await ask("http://aws.invalid")
    assert [(asked.path, len(answer.instances)) for asked in server.asked] == [("http://aws.invalid/", 1)]


async def test_cancelling_ends_the_request():
    """CancelledError comes out, and the client goes on working."""
    with CannedServer(Reply(hang=True), found("orders-1")) as server:
        backend, _ = opened(server.url, ONE_ATTEMPT)
        task = asyncio.create_task(backend.discover(ORDERS))
        while not server.asked:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len((await backend.discover(ORDERS)).instances) == 1


async def test_trouble_makes_no_noise(caplog):
    """What went wrong is in the error, not on somebody's terminal."""
    with CannedServer(
        Reply(200, b"garbage"), refused("AccessDenied"), Reply(close=True), refused("ExpiredToken")
    ) as server:
        backend, _ = opened(server.url, ONE_ATTEMPT)
        for _ in range(4):
            with pytest.raises(errors.CloudMapError):
                await backend.discover(ORDERS)
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


# Many callers, loops and threads


@pytest.mark.parametrize("callers", [10, 1000])
async def test_many_first_questions_make_one_session(callers):
    """And one client; each question is one call, since sharing answers is not the backend's business."""
    made = []

    def factory():
        made.append(AioSession())
        return made[-1]

    with CannedServer(found("orders-1")) as server:
        backend, _ = opened(server.url, CROWDED, factory)
        answers = await asyncio.gather(*(backend.discover(ORDERS) for _ in range(callers)))
    assert (len(made), len(server.asked), {len(answer.instances) for answer in answers}) == (1, callers, {1})


def test_one_backend_serves_successive_loops_and_threads():
    """The client is made once; only its connections belong to a loop."""
    with CannedServer(found("orders-1")) as server:
        backend, _ = opened(server.url)

        async def questions():
            return await asyncio.gather(*(backend.discover(ORDERS) for _ in range(4)))

        answers = [answer for _ in range(4) for answer in asyncio.run(questions())]
        threads = [threading.Thread(target=lambda: answers.extend(asyncio.run(questions()))) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [len(answer.instances) for answer in answers] == [1] * 40
