"""TLS contexts as botocore builds them, with host names checked on every version of aiobotocore.

aiobotocore 2.25.1 does not check host names, and verifies nothing through an HTTP proxy. So the contexts are built
here, from the same settings and with the same functions of botocore.
"""

from __future__ import annotations

import os
import ssl
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import botocore.httpsession

from aiocloudmap.aws.shared_call import SharedCalls
from aiocloudmap.aws.transport.file_descriptors import find_descriptor_error
from aiocloudmap.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from aiohttp import ClientRequest

__all__ = ["ContextCache", "ContextsOfLoop", "TlsContexts", "TlsSettings", "needs_contexts"]

_MAX_CONTEXTS: Final = 8


class TlsSettings(NamedTuple):
    """Which certificates to trust and to show. Connections with different settings never mix.

    Args:
        verify: True for botocore's own certificate authorities, False for no check at all, or a file or directory of
            authorities.
        client_cert: The certificate to show: a file that also holds its key, or a file and a key file.
        proxy_ca_bundle: Authorities for an HTTPS proxy, in addition to `verify`.
        proxy_client_cert: The certificate to show to an HTTPS proxy. `client_cert` is never shown to a proxy.
    """

    verify: bool | str = True
    client_cert: str | tuple[str, str | None] | None = None
    proxy_ca_bundle: str | None = None
    proxy_client_cert: str | tuple[str, str | None] | None = None

    @classmethod
    def of(
        cls,
        verify: bool | str | os.PathLike[str] | None = None,
        client_cert: Any = None,
        proxies_config: Mapping[str, Any] | None = None,
    ) -> Self:
        """The settings for arguments of botocore's `create_client` and `Config`.

        None and "" mean True: only a plain False turns the checks off.
        """
        proxies = proxies_config or {}
        return cls(
            verify=False if verify is False else (True if verify is True or not verify else os.fspath(verify)),
            client_cert=_certificate(client_cert),
            proxy_ca_bundle=proxies.get("proxy_ca_bundle"),
            proxy_client_cert=_certificate(proxies.get("proxy_client_cert")),
        )

    @classmethod
    def from_env(cls) -> Self:
        """Botocore's default: AWS_CA_BUNDLE, else REQUESTS_CA_BUNDLE, else its own authorities."""
        return cls.of(os.environ.get("AWS_CA_BUNDLE") or os.environ.get("REQUESTS_CA_BUNDLE"))

    def contexts(self) -> TlsContexts:
        """Build the contexts. Reads files and takes tens of milliseconds: run it in a thread.

        Raises:
            ConfigurationError: A file cannot be read, or holds no certificates.
        """
        endpoint = self._trusting()
        if self.client_cert is not None:
            _show(endpoint, "client certificate", self.client_cert)
        if not (self.client_cert or self.proxy_ca_bundle or self.proxy_client_cert):
            # Reading the authorities takes most of the first call's time, so they are read once.
            return TlsContexts(endpoint, endpoint)
        proxy = self._trusting()
        if self.proxy_ca_bundle is not None:
            _trust(proxy, "proxy_ca_bundle", self.proxy_ca_bundle)
        if self.proxy_client_cert is not None:
            _show(proxy, "proxy_client_cert", self.proxy_client_cert)
        return TlsContexts(endpoint, proxy)

    def stamp(self) -> tuple[object, ...]:
        """Inode, size and time of the files; differs once one of them is replaced."""
        return tuple(map(_stamp, self._files()))

    def _trusting(self) -> ssl.SSLContext:
        context: ssl.SSLContext = botocore.httpsession.create_urllib3_context()
        context.set_alpn_protocols(["http/1.1"])
        if self.verify is False:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            return context
        # urllib3 checks names itself and leaves this off; aiohttp leaves the check to the context.
        context.verify_mode = ssl.CERT_REQUIRED
        context.check_hostname = True
        _trust(context, "CA bundle", botocore.httpsession.get_cert_path(self.verify))
        return context

    def _files(self) -> list[str]:
        verify = botocore.httpsession.get_cert_path(self.verify) if self.verify else None
        files: list[str] = [] if verify is None else [verify]
        for item in (self.client_cert, self.proxy_ca_bundle, self.proxy_client_cert):
            files += [item] if isinstance(item, str) else [name for name in item or () if name is not None]
        return files


class TlsContexts(NamedTuple):
    """The contexts for the server that is called, and for an HTTPS proxy on the way to it."""

    endpoint: ssl.SSLContext
    proxy: ssl.SSLContext


class ContextCache:
    """The contexts of the process, rebuilt when a file changes.

    Contexts do not belong to an event loop, so a Lambda that runs `asyncio.run` per invocation builds them once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._contexts: dict[tuple[object, ...], TlsContexts] = {}

    def get(self, settings: TlsSettings) -> TlsContexts:
        """The contexts for the settings. Blocks: run it in a thread.

        Raises:
            ConfigurationError: As `TlsSettings.contexts`.
        """
        key = (settings, *settings.stamp())
        with self._lock:
            if (contexts := self._contexts.get(key)) is None:
                contexts = settings.contexts()
                while len(self._contexts) >= _MAX_CONTEXTS:
                    del self._contexts[next(iter(self._contexts))]
                self._contexts[key] = contexts
        return contexts


class ContextsOfLoop:
    """The contexts of one connector, built in a thread when the first https address comes.

    Args:
        build: Builds them in a thread.
    """

    def __init__(self, build: Callable[[], Awaitable[TlsContexts]]) -> None:
        self._build = build
        self._built: TlsContexts | None = None
        self._calls = SharedCalls()

    async def get(self) -> TlsContexts:
        """Return the contexts. They are built once; cancelling a caller does not stop it, and a failure is not kept.

        Raises:
            ConfigurationError: As `TlsSettings.contexts`.
        """
        if self._built is None:
            self._built = await self._calls.get("contexts", self._build, keep=True)
        return self._built


def needs_contexts(req: ClientRequest) -> bool:
    """Whether the endpoint or a proxy uses TLS, without a context that the request brings."""
    return req.ssl is True and (req.is_ssl() or (req.proxy is not None and req.proxy.scheme == "https"))


def _certificate(value: Any) -> str | tuple[str, str | None] | None:
    if not value:
        return None
    if isinstance(value, tuple | list):
        certificate, key = value[0], value[1] if len(value) > 1 else None
        return os.fspath(certificate), None if key is None else os.fspath(key)
    return str(os.fspath(value))


@contextmanager
def _loading(what: str, source: object) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if find_descriptor_error(error) is not None:
            raise
        raise ConfigurationError(
            f"the certificate file {source} ({what}) cannot be loaded: {error}",
            advice="Check AWS_CA_BUNDLE, the profile's ca_bundle, verify= and client_cert=.",
        ) from error


def _trust(context: ssl.SSLContext, what: str, authorities: str) -> None:
    with _loading(what, authorities):
        if Path(authorities).is_dir():
            context.load_verify_locations(capath=authorities)
        else:
            context.load_verify_locations(cafile=authorities)


def _show(context: ssl.SSLContext, what: str, certificate: str | tuple[str, str | None]) -> None:
    file, key = (certificate, None) if isinstance(certificate, str) else certificate
    with _loading(what, file):
        # Without a callback OpenSSL would ask for the key's password on the terminal.
        context.load_cert_chain(file, key, password=lambda: "")


def _stamp(path: str) -> tuple[int, ...]:
    try:
        status = Path(path).stat()
    except OSError:
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns
