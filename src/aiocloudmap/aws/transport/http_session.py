"""HTTP sessions that own no connector: aiobotocore's for AWS clients, aiohttp's for `CloudMap.http_session()`.

Both look up the running loop's connector at each call, so a client works on every event loop, and closing a session
does nothing.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Self

import aiohttp
from aiobotocore.httpsession import AIOHTTPSession
from botocore.exceptions import HTTPClientError
from multidict import CIMultiDictProxy

from aiocloudmap.aws.transport.connection import closed_error
from aiocloudmap.aws.transport.file_descriptors import find_descriptor_error, too_many_open_files
from aiocloudmap.aws.transport.loop_connections import ConnectorProxy, LoopRegistry
from aiocloudmap.aws.transport.tls import TlsSettings
from aiocloudmap.errors import CloudMapError, ConfigurationError

if TYPE_CHECKING:
    from aiohttp.typedefs import LooseCookies

    from aiocloudmap.aws.transport.pool import Purpose
    from aiocloudmap.model.policy import ConnectionPolicy

__all__ = ["AwsHttpSession", "GivenCookies", "UnownedSession"]


class GivenCookies(aiohttp.CookieJar):
    """Sends these cookies and keeps none of a response, which another caller of the session would send."""

    def __init__(self, cookies: LooseCookies) -> None:
        super().__init__()
        super().update_cookies(cookies)

    def update_cookies(self, cookies: LooseCookies, response_url: Any = None) -> None:
        """Do nothing."""


class _SubclassableSession:
    # aiohttp warns of subclasses, which may change how requests are made. These change only how sessions close.
    def __init_subclass__(cls) -> None:
        """Skip aiohttp's own."""


class UnownedSession(_SubclassableSession, aiohttp.ClientSession):
    """A ClientSession that owns no connector: `close` and `async with` leave it open. Several callers share it."""

    @property
    def headers(self) -> CIMultiDictProxy[str]:  # type: ignore[override]
        """Read-only: other callers would send what one of them sets."""
        return CIMultiDictProxy(super().headers)

    async def close(self) -> None:
        """Do nothing: the transport closes the connections."""

    def __del__(self, *_: Any) -> None:
        """Skip aiohttp's warning, as nothing is left open."""


class _NoRedirectSession(UnownedSession):
    """Follows no redirects, as botocore: a server could send a signed request elsewhere."""

    def request(self, method: str, url: Any, **options: Any) -> Any:
        """As `aiohttp.ClientSession.request`."""
        options["allow_redirects"] = False
        return super().request(method, url, **options)


class AwsHttpSession(AIOHTTPSession):  # type: ignore[misc]  # untyped
    """aiobotocore's HTTP session on the connector of the running loop. `Transport` makes the subclasses.

    It can be used on several loops at once.
    """

    loops: LoopRegistry
    policy: ConnectionPolicy
    purpose: Purpose
    holder: weakref.ref[object]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._tls = TlsSettings.of(kwargs.get("verify", True), kwargs.get("client_cert"), kwargs.get("proxies_config"))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Do nothing: the connector belongs to the loop."""

    async def close(self) -> None:
        """Do nothing: the connector belongs to the loop."""

    async def _get_session(self, proxy_url: str | None) -> aiohttp.ClientSession:
        if proxy_url is not None and proxy_url.count("://") > 1:
            # botocore puts http:// before other schemes, so that "socks5" would be looked up as a host name.
            raise ConfigurationError(
                "unsupported kind of proxy: expected an http:// or https:// URL",
                advice="Check the proxy URLs in HTTPS_PROXY and HTTP_PROXY.",
            )
        connections = self.loops.current()
        session: aiohttp.ClientSession | None = connections.aws_sessions.get(self)
        if session is None:
            proxy: Any = ConnectorProxy(connections, self.policy, self._tls, self.purpose, self.holder)
            session = connections.aws_sessions[self] = _NoRedirectSession(
                connector=proxy,
                connector_owner=False,
                timeout=self._timeout,
                skip_auto_headers={"CONTENT-TYPE"},
                auto_decompress=False,
                # botocore keeps no cookies either, and several engines may share the session.
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return session

    async def send(self, request: Any) -> Any:
        """As aiobotocore's, but this library's own errors are not wrapped: botocore would retry them.

        Raises:
            CloudMapError: One of the connector's; ConnectError if the connection was closed during the call.
            HTTPClientError: botocore's own.
        """
        connections = self.loops.current()
        closings = connections.closings
        try:
            return await super().send(request)
        except CloudMapError:
            raise
        except Exception as error:
            cause = error.kwargs.get("error") if isinstance(error, HTTPClientError) else error
            if isinstance(cause, CloudMapError):
                raise cause from cause.__cause__
            if (reason := find_descriptor_error(error)) is not None:
                raise too_many_open_files(reason, self.loops.open_connections) from error
            if connections.closings != closings:
                raise closed_error() from error
            raise
