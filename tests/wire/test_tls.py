"""TLS as in botocore, with host names checked on every version of aiobotocore."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ConnectTimeoutError, ProxyConnectionError, SSLError
from callers import RUNNERS, Callers
from certificates import tls_of
from counting_server import Proxy, Servers

from aiocloudmap.aws.transport.tls import TlsSettings
from aiocloudmap.aws.transport.transport import Purpose
from aiocloudmap.errors import ConfigurationError
from aiocloudmap.model.policy import ConnectionPolicy

ANSWER = b'{"Instances": []}'


@pytest.fixture(params=["directly", "through a proxy"])
def way(request):
    """The proxy or None, and the options that make calls use it."""
    if request.param == "directly":
        yield None, {}
        return
    with Proxy() as proxy:
        yield proxy, {"proxies": {"https": proxy.url}}


def made(way, **options) -> Callers:
    return Callers(**way[1], **options, timeout=(10, 10))


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_known_authority_is_accepted(way, authority, bundle, runner):
    """From the file that verify= or AWS_CA_BUNDLE names. The connection is reused."""
    with Servers(tls=tls_of(authority, "localhost")) as servers:
        callers = made(way, verify=bundle)

        async def main() -> None:
            assert await callers.discover(servers.url) == ANSWER
            assert await callers.call(servers.url) == ANSWER

        for _ in range(2):
            RUNNERS[runner](main())
    assert servers.accepted == 2
    assert way[0] is None or len(way[0].asked) == 2


@pytest.mark.parametrize("runner", RUNNERS)
def test_an_unknown_authority_is_refused(way, authority, runner):
    """Nothing is sent."""
    with Servers(tls=tls_of(authority, "localhost")) as servers:
        callers = made(way)
        with pytest.raises(SSLError, match=r"(?i)certificate.verify.failed"):
            RUNNERS[runner](callers.discover(servers.url))
    assert servers.requests.total() == 0


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_certificate_for_another_host_is_refused(way, authority, bundle, runner):
    """Even if the authority is known. Nothing is sent."""
    with Servers(tls=tls_of(authority, "other.example")) as servers:
        callers = made(way, verify=bundle)
        with pytest.raises(SSLError, match=r"(?i)hostname mismatch|certificate is not valid"):
            RUNNERS[runner](callers.discover(servers.url))
    assert servers.requests.total() == 0


@pytest.mark.parametrize("name", ["localhost", "other.example"])
async def test_a_real_client_uses_the_https_proxy_variable(authority, bundle, monkeypatch, name):
    """And checks the certificate of the endpoint."""
    callers = Callers()
    config = AioConfig(
        http_session_cls=callers.transport.http_session_class(callers.policy, Purpose.CLIENT, callers.holder),
        inject_host_prefix=False,
        retries={"total_max_attempts": 1},
    )
    monkeypatch.setenv("AWS_CA_BUNDLE", bundle)
    options = {"region_name": "eu-west-1", "aws_access_key_id": "a", "aws_secret_access_key": "s", "config": config}
    with Servers(tls=tls_of(authority, name)) as servers, Proxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        async with get_session().create_client("servicediscovery", endpoint_url=servers.url, **options) as client:
            if name == "localhost":
                answer = await client.discover_instances(NamespaceName="shop", ServiceName="orders")
                assert answer["Instances"] == []
            else:
                with pytest.raises(SSLError):
                    await client.discover_instances(NamespaceName="shop", ServiceName="orders")
        await callers.transport.aclose(callers.holder)
    assert proxy.asked == [f"CONNECT localhost:{servers.ports[0]} HTTP/1.1"]


async def test_verify_false_disables_all_checks(way, authority):
    """As in botocore."""
    with Servers(tls=tls_of(authority, "other.example")) as servers:
        callers = made(way, verify=False)
        assert await callers.discover(servers.url) == ANSWER
        await callers.transport.aclose(callers.holder)


async def test_a_client_certificate_is_shown(way, authority, bundle, certificate):
    """To a server that asks for one."""
    with Servers(tls=tls_of(authority, "localhost", asks=True)) as servers:
        callers = made(way, verify=bundle, client_cert=certificate)
        assert await callers.discover(servers.url) == ANSWER
        await callers.transport.aclose(callers.holder)


async def test_a_server_refuses_without_the_client_certificate_it_requires(way, authority, bundle):
    """With a connection error in TLS 1.3; which one depends on timing."""
    with Servers(tls=tls_of(authority, "localhost", asks=True)) as servers:
        callers = made(way, verify=bundle)
        with pytest.raises(BotoCoreError):
            await callers.discover(servers.url)
        await callers.transport.aclose(callers.holder)
    assert servers.requests.total() == 0


async def test_tunnels_are_bounded_too(authority, bundle):
    """Each is one socket and counts once."""
    with Servers(4, tls=tls_of(authority, "localhost")) as servers, Proxy() as proxy:
        policy = ConnectionPolicy(max_connections=4, max_connections_per_host=2)
        callers = Callers(policy, verify=bundle, proxies={"https": proxy.url}, timeout=(30, 30))
        peak = 0

        async def one(url: str) -> None:
            nonlocal peak
            await callers.call(url)
            peak = max(peak, callers.transport.open_connections)

        await asyncio.gather(*(one(url) for url in servers.urls * 8))
        assert 0 < peak <= 4
        await callers.transport.aclose(callers.holder)


async def test_an_https_proxy_is_checked_too(authority, bundle):
    """With verify=, or with its own proxy_ca_bundle."""
    with Servers(tls=tls_of(authority, "localhost")) as servers, Proxy(tls=tls_of(authority, "localhost")) as proxy:
        callers = Callers(verify=bundle, proxies={"https": proxy.url}, timeout=(10, 10))
        assert await callers.discover(servers.url) == ANSWER
        await callers.transport.aclose(callers.holder)


@pytest.mark.parametrize("name", ["localhost", "other.example"])
async def test_an_https_proxy_with_wrong_authority_or_name_is_refused(authority, bundle, name):
    """It would see the endpoint and the proxy credentials."""
    verify = True if name == "localhost" else bundle
    with Servers(tls=tls_of(authority, "localhost")) as servers, Proxy(tls=tls_of(authority, name)) as proxy:
        callers = Callers(verify=verify, proxies={"https": proxy.url}, timeout=(10, 10))
        with pytest.raises((SSLError, ProxyConnectionError)):
            await callers.discover(servers.url)
        await callers.transport.aclose(callers.holder)
    assert proxy.asked == []


async def test_an_https_proxy_is_shown_only_its_own_certificate(authority, bundle, certificate):
    """The client certificate is for the endpoint."""
    asking = tls_of(authority, "localhost", asks=True)
    with Servers(tls=tls_of(authority, "localhost")) as servers, Proxy(tls=asking) as proxy:
        options = {"verify": bundle, "proxies": {"https": proxy.url}, "timeout": (10, 10)}
        callers = Callers(**options, proxies_config={"proxy_client_cert": certificate})
        assert await callers.discover(servers.url) == ANSWER
        await callers.transport.aclose(callers.holder)
        wrong = Callers(**options, client_cert=certificate)
        with pytest.raises(BotoCoreError):
            await wrong.discover(servers.url)
        await wrong.transport.aclose(wrong.holder)


async def test_a_proxy_that_never_answers_does_not_hang():
    """The timeouts of the connection include its answer."""
    with Servers() as silent:
        callers = Callers(proxies={"https": silent.url}, timeout=(0.05, 0.1))
        with pytest.raises(ConnectTimeoutError):
            async with asyncio.timeout(20):
                await callers.call("https://aws.invalid")
        await callers.transport.aclose(callers.holder)


async def test_an_http_session_trusts_aws_ca_bundle(authority, bundle, monkeypatch):
    """Or the context of the request itself."""
    with Servers(tls=tls_of(authority, "localhost")) as servers:
        callers = Callers()
        monkeypatch.setenv("AWS_CA_BUNDLE", bundle)
        async with callers.transport.client_session(callers.policy, callers.holder).get(servers.url) as response:
            assert await response.read() == ANSWER
        monkeypatch.delenv("AWS_CA_BUNDLE")
        session = callers.transport.client_session(callers.policy, callers.holder)
        with pytest.raises(OSError, match=r"(?i)certificate"):
            await session.get(servers.url)
        own = ssl.create_default_context(cafile=bundle)
        async with session.get(servers.url, ssl=own) as response:
            assert await response.read() == ANSWER
        await callers.transport.aclose(callers.holder)


async def test_contexts_are_built_once_in_a_thread_for_https_only(authority, bundle, monkeypatch):
    """Many https calls share one, even if the first of them is cancelled."""
    built = []
    build = TlsSettings.contexts
    monkeypatch.setattr(
        TlsSettings, "contexts", lambda self: (built.append(threading.current_thread()), build(self))[1]
    )
    with Servers(tls=tls_of(authority, "localhost")) as servers, Servers() as plain:
        callers = Callers(verify=bundle)
        await callers.discover(plain.url)
        assert built == []
        first = asyncio.create_task(callers.discover(servers.url))
        rest = [asyncio.create_task(callers.discover(servers.url)) for _ in range(5)]
        await asyncio.sleep(0)
        first.cancel()
        assert await asyncio.gather(*rest) == [ANSWER] * 5
        assert len(built) == 1
        assert built[0] is not threading.current_thread()
        await callers.transport.aclose(callers.holder)


async def test_prepared_contexts_are_used(authority, bundle, monkeypatch):
    """A failure is raised again by the call that needs them."""
    built = []
    build = TlsSettings.contexts
    monkeypatch.setattr(TlsSettings, "contexts", lambda self: (built.append(self.verify), build(self))[1])
    with Servers(tls=tls_of(authority, "localhost")) as servers:
        callers = Callers(verify=bundle)
        with pytest.raises(ConfigurationError):
            callers.transport.prepare(TlsSettings.of("/nowhere/ca.pem"))
        callers.transport.prepare(TlsSettings.of(bundle))
        assert await callers.discover(servers.url) == ANSWER
        assert sorted(built) == sorted(["/nowhere/ca.pem", bundle])
        await callers.transport.aclose(callers.holder)


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_a_broken_bundle_is_a_configuration_error(authority, tmp_path, content):
    """It names the file. Once the file is fixed, the next call works."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with Servers(tls=tls_of(authority, "localhost")) as servers:
        callers = Callers(verify=str(path))
        with pytest.raises(ConfigurationError, match=r"ca\.pem"):
            await callers.discover(servers.url)
        authority.cert_pem.write_to_path(str(path))
        assert await callers.discover(servers.url) == ANSWER
        await callers.transport.aclose(callers.holder)


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_cancelled_call_frees_its_descriptor_with_a_silent_peer(authority, bundle, runner):
    """A TLS shutdown would wait for 30 s, while the connection counts towards the limit."""
    context = tls_of(authority, "localhost")
    asked = threading.Event()

    def silent(listening: socket.socket) -> None:
        plain, _ = listening.accept()
        with context.wrap_socket(plain, server_side=True) as peer:
            peer.recv(1)
            asked.set()
            ended.wait(30)

    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=silent, args=(listening,))
        thread.start()
        callers = Callers(verify=bundle, timeout=(10, 10))

        async def main() -> None:
            call = asyncio.create_task(callers.call(f"https://localhost:{listening.getsockname()[1]}"))
            await asyncio.to_thread(asked.wait)
            call.cancel()
            await asyncio.wait([call])
            async with asyncio.timeout(5):
                while callers.transport.open_connections:
                    await asyncio.sleep(0.001)

        try:
            RUNNERS[runner](main())
        finally:
            ended.set()
            thread.join()
