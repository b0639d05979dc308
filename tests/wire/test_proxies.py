"""HTTP and HTTPS proxies with credentials and certificates, and clients that never use each other's connections."""

from __future__ import annotations

import asyncio
from base64 import b64encode

import pytest
import trustme
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ProxyConnectionError
from callers import RUNNERS, Callers
from canned_server import CannedServer, found
from certificates import tls_of
from counting_server import Proxy, Servers

from aiocloudmap import CloudMap, ConfigurationError, ConnectError, ConnectionPolicy
from aiocloudmap.aws.transport.transport import Transport

# Failures here must come from the proxy, not from a slow machine.
PATIENT = ConnectionPolicy(discovery_timeout=60)
ANSWER = b'{"Instances": []}'
PASSWORD = "p@ss/w:rd %41"
IN_URL = "user:p%40ss%2Fw%3Ard%20%2541@"
SHOWN = "Basic " + b64encode(f"user:{PASSWORD}".encode()).decode()


def with_credentials(url: str, credentials: str = IN_URL) -> str:
    return url.replace("://", f"://{credentials}")


@pytest.fixture(params=["http", "https"])
def proxy(request, authority):
    """A proxy that requires credentials."""
    tls = tls_of(authority) if request.param == "https" else None
    with Proxy(tls=tls, credentials=f"user:{PASSWORD}") as proxy:
        yield proxy


# Credentials


@pytest.mark.parametrize("runner", RUNNERS)
def test_only_the_proxy_is_shown_its_credentials(proxy, authority, bundle, runner):
    """Decoded from its URL, once per tunnel. The endpoint does not get them."""
    with CannedServer(found("orders-1"), tls=tls_of(authority)) as endpoint:
        callers = Callers(verify=bundle, proxies={"https": with_credentials(proxy.url)}, timeout=(10, 10))

        async def main() -> None:
            await callers.discover(endpoint.url)
            await callers.discover(endpoint.url)

        RUNNERS[runner](main())
    assert proxy.shown == [SHOWN]
    assert [name for asked in endpoint.requests for name in asked.headers if name.lower().startswith("proxy")] == []


async def test_a_plain_endpoint_needs_proxy_credentials_at_every_call(proxy, bundle):
    """Because there is no tunnel."""
    with Servers() as servers:
        callers = Callers(verify=bundle, proxies={"http": with_credentials(proxy.url)}, timeout=(10, 10))
        assert [await callers.discover(servers.url) for _ in range(2)] == [ANSWER] * 2
        await callers.transport.aclose(callers.holder)
    assert proxy.shown == [SHOWN] * 2


@pytest.mark.parametrize("credentials", ["", "user:wrong-word@"])
async def test_refused_proxy_credentials_are_a_proxy_error(proxy, authority, bundle, credentials):
    """Nothing reaches the endpoint, and the error does not show the password."""
    with Servers(tls=tls_of(authority)) as servers:
        callers = Callers(verify=bundle, proxies={"https": with_credentials(proxy.url, credentials)}, timeout=(10, 10))
        with pytest.raises(ProxyConnectionError) as caught:
            await callers.discover(servers.url)
        await callers.transport.aclose(callers.holder)
    assert "wrong-word" not in str(caught.value)
    assert servers.accepted == 0


async def test_a_tunnel_is_not_shared_between_users(proxy, authority, bundle):
    """Missing or wrong credentials are refused, even if an idle tunnel exists."""
    with Servers(tls=tls_of(authority)) as servers:
        transport = Transport()
        options = {"verify": bundle, "timeout": (10, 10), "transport": transport}
        allowed = Callers(**options, proxies={"https": with_credentials(proxy.url)})
        assert await allowed.discover(servers.url) == ANSWER
        for credentials in ("", "user:wrong@", "other:p%40ss%2Fw%3Ard%20%2541@"):
            other = Callers(**options, proxies={"https": with_credentials(proxy.url, credentials)})
            with pytest.raises(ProxyConnectionError):
                await other.discover(servers.url)
            await transport.aclose(other.holder)
        assert await allowed.discover(servers.url) == ANSWER
        await transport.aclose(allowed.holder)
    assert servers.accepted == 1


# Certificates


@pytest.mark.parametrize("runner", RUNNERS)
def test_an_https_proxy_with_its_own_certificate_and_authority(authority, bundle, certificate, tmp_path, runner):
    """Credentials, proxy_ca_bundle, proxy_client_cert and client_cert together."""
    theirs = trustme.CA()
    theirs.cert_pem.write_to_path(str(tmp_path / "proxy-ca.pem"))
    context = tls_of(theirs, asks=True)
    authority.configure_trust(context)
    with (
        Servers(tls=tls_of(authority, asks=True)) as servers,
        Proxy(tls=context, credentials=f"user:{PASSWORD}") as proxy,
    ):
        settings = {"proxy_ca_bundle": str(tmp_path / "proxy-ca.pem"), "proxy_client_cert": certificate}
        callers = Callers(
            verify=bundle,
            client_cert=certificate,
            proxies={"https": with_credentials(proxy.url)},
            proxies_config=settings,
            timeout=(10, 10),
        )

        async def main() -> None:
            assert await callers.discover(servers.url) == ANSWER

        RUNNERS[runner](main())
    assert proxy.shown == [SHOWN]


def test_the_proxys_authority_is_not_trusted_for_the_endpoint(authority, bundle, tmp_path):
    """Else the proxy could read the traffic. On uvloop, because asyncio 3.11 fails in another way."""
    theirs = trustme.CA()
    theirs.cert_pem.write_to_path(str(tmp_path / "proxy-ca.pem"))
    with Servers(tls=tls_of(theirs)) as servers, Proxy(tls=tls_of(theirs)) as proxy:
        callers = Callers(
            verify=bundle,
            proxies={"https": proxy.url},
            proxies_config={"proxy_ca_bundle": str(tmp_path / "proxy-ca.pem")},
            timeout=(10, 10),
        )
        with pytest.raises(BotoCoreError):
            RUNNERS["uvloop"](callers.discover(servers.url))
    assert len(proxy.asked) == 1
    assert servers.requests.total() == 0


# Settings that differ


async def test_clients_with_different_tls_settings_share_no_connection(authority, bundle, certificate):
    """Even if an idle connection to the same server exists."""
    transport = Transport()
    options = {"transport": transport, "timeout": (10, 10)}
    with Servers(tls=tls_of(authority, asks=True)) as servers:
        shows = Callers(**options, verify=bundle, client_cert=certificate)
        assert await shows.discover(servers.url) == ANSWER
        trusts_all = Callers(**options, verify=False, client_cert=certificate)
        assert await trusts_all.discover(servers.url) == ANSWER
        for refused in (
            Callers(**options, verify=bundle),
            Callers(**options, verify=True, client_cert=certificate),
            Callers(**options, verify=False),
        ):
            with pytest.raises(BotoCoreError):
                await refused.discover(servers.url)
            await transport.aclose(refused.holder)
        assert servers.requests.total() == 2
        for callers in (shows, trusts_all):
            assert await callers.discover(servers.url) == ANSWER
            await transport.aclose(callers.holder)
    assert transport.open_connections == 0


async def test_clients_with_different_proxy_settings_share_no_tunnel(authority, bundle, certificate):
    """A certificate shown to the proxy is valid for one client only."""
    transport = Transport()
    with Servers(tls=tls_of(authority)) as servers, Proxy(tls=tls_of(authority, asks=True)) as proxy:
        options = {"transport": transport, "timeout": (10, 10), "verify": bundle, "proxies": {"https": proxy.url}}
        shows = Callers(**options, proxies_config={"proxy_client_cert": certificate})
        assert await shows.discover(servers.url) == ANSWER
        for settings in (None, {"proxy_ca_bundle": bundle}):
            refused = Callers(**options, proxies_config=settings)
            with pytest.raises(BotoCoreError):
                await refused.discover(servers.url)
            await transport.aclose(refused.holder)
        direct = Callers(transport=transport, timeout=(10, 10), verify=bundle)
        assert await direct.discover(servers.url) == ANSWER
        for callers in (shows, direct):
            await transport.aclose(callers.holder)
    assert (len(proxy.asked), servers.accepted) == (1, 2)


async def test_a_request_for_another_server_name_opens_a_connection(authority, bundle, monkeypatch):
    """server_hostname decides which certificate is valid; aiohttp 3.12 would reuse the idle connection."""
    monkeypatch.setenv("AWS_CA_BUNDLE", bundle)
    with Servers(tls=tls_of(authority)) as servers:
        async with CloudMap(shared=False) as cloud_map:
            session = await cloud_map.http_session()
            async with session.get(servers.url) as response:
                assert await response.read() == ANSWER
            with pytest.raises(OSError, match=r"(?i)certificate"):
                await session.get(servers.url, server_hostname="other.example")
    assert servers.requests.total() == 1


# Through CloudMap


@pytest.fixture
def keys(keys, monkeypatch, bundle):
    """The usual keys, and the test's own authority."""
    monkeypatch.setenv("AWS_CA_BUNDLE", bundle)


def test_discovery_uses_the_proxy_of_the_environment(keys, proxy, authority, monkeypatch):
    """With one tunnel for each of two loops."""
    monkeypatch.setenv("HTTPS_PROXY", with_credentials(proxy.url))
    with CannedServer(found("orders-1"), tls=tls_of(authority)) as endpoint:
        cloud_map = CloudMap(endpoint_url=endpoint.url)

        async def ask() -> int:
            return len(await cloud_map.service("shop/orders").resolve(max_age=0))

        assert [asyncio.run(ask()) for _ in range(2)] == [1, 1]
    assert proxy.shown == [SHOWN] * 2


async def test_discovery_uses_proxy_certificates_of_the_sessions_default_config(keys, authority, certificate):
    """An application sets them there once for all clients."""
    with Proxy(tls=tls_of(authority, asks=True)) as proxy, Servers(tls=tls_of(authority)) as servers:

        def session():
            session = get_session()
            config = AioConfig(proxies={"https": proxy.url}, proxies_config={"proxy_client_cert": certificate})
            session.set_default_client_config(config)
            return session

        async with CloudMap(endpoint_url=servers.url, session_factory=session) as cloud_map:
            assert len(await cloud_map.service("shop/orders").resolve()) == 0
            client = await cloud_map.client("servicediscovery")
            assert (await client.discover_instances(NamespaceName="shop", ServiceName="orders"))["Instances"] == []
    assert len(proxy.asked) == 1


async def test_a_refusing_proxy_is_a_connect_error_without_the_password(keys, proxy, monkeypatch):
    """The error names the proxy."""
    monkeypatch.setenv("HTTPS_PROXY", with_credentials(proxy.url, "user:hidden-word@"))
    async with CloudMap(endpoint_url="https://aws.invalid", connections=PATIENT) as cloud_map:
        with pytest.raises(ConnectError, match="HTTP proxy cannot be used") as caught:
            await cloud_map.service("shop/orders").resolve()
    assert "hidden" not in f"{caught.value} {caught.value!r} {vars(caught.value)}"


@pytest.mark.parametrize("url", ["socks5://user:hidden-word@127.0.0.1:1", "ftp://127.0.0.1:1"])
async def test_an_unsupported_kind_of_proxy_is_a_configuration_error(keys, monkeypatch, url):
    """aiohttp supports HTTP proxies only. Nothing is sent without the proxy."""
    monkeypatch.setenv("HTTPS_PROXY", url)
    async with CloudMap(endpoint_url="https://aws.invalid", connections=PATIENT) as cloud_map:
        with pytest.raises(ConfigurationError, match=r"(?i)proxy") as caught:
            await cloud_map.service("shop/orders").resolve()
    assert "hidden" not in str(caught.value)


async def test_a_proxy_setting_that_aiobotocore_ignores_is_refused(keys):
    """proxy_use_forwarding_for_https, which only botocore supports."""
    config = AioConfig(proxies_config={"proxy_use_forwarding_for_https": True})
    async with CloudMap() as cloud_map:
        with pytest.raises(ConfigurationError, match="proxy_use_forwarding_for_https"):
            await cloud_map.client("sqs", config=config)


async def test_a_missing_proxy_certificate_is_a_configuration_error(keys, proxy, tmp_path):
    """It names the file, and nothing is sent."""
    config = AioConfig(
        proxies={"https": with_credentials(proxy.url)}, proxies_config={"proxy_client_cert": str(tmp_path / "no.pem")}
    )
    async with CloudMap() as cloud_map:
        client = await cloud_map.client("sqs", config=config, endpoint_url="https://localhost:1")
        with pytest.raises(ConfigurationError, match=r"no\.pem"):
            await client.list_queues()
    assert proxy.asked == []
