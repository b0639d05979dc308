"""The configuration of AWS clients: what the application sets, combined with what the shared transport needs."""

from __future__ import annotations

import copy
import os
from collections import OrderedDict
from collections.abc import Mapping
from http.cookies import Morsel
from typing import TYPE_CHECKING, Any, Final, Self

from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from botocore.config import Config
from botocore.useragent import sanitize_user_agent_string_component
from multidict import MultiMapping

from aiocloudmap.errors import ConfigurationError
from aiocloudmap.model.validation import check_endpoint
from aiocloudmap.version import VERSION

if TYPE_CHECKING:
    from aiobotocore.session import AioSession

__all__ = [
    "CLOUD_MAP",
    "ClientView",
    "by_value",
    "configured_region",
    "copied",
    "lasting_default",
    "needs_tls",
    "own_region",
    "user_agent",
    "with_http_session",
    "without_prefix",
]

CLOUD_MAP: Final = "servicediscovery"
"""botocore's name of the service."""


# --- Region, endpoint and user agent, from where AWS's own tools read them ---


def own_region(session: AioSession, given: str | None) -> str | None:
    """The Region to pass to botocore; None if botocore finds it by itself, since it does not read AWS_REGION."""
    if given is not None:
        return given
    if _default(session, "region_name") is not None or session.instance_variables().get("region") is not None:
        return None
    return os.environ.get("AWS_REGION") or None


def configured_region(session: AioSession) -> str | None:
    """The Region that botocore finds: the session's own, or that of the environment or the profile."""
    region: str | None = _default(session, "region_name") or session.get_config_variable("region")
    return region


def without_prefix(session: AioSession, endpoint_url: str | None) -> dict[str, Any]:
    """The setting that keeps botocore from adding `data-` to the host of an endpoint that is not AWS's own.

    Raises:
        ConfigurationError: The environment or the profile names an invalid endpoint.
    """
    if endpoint_url is None:
        if (configured := _configured_endpoint(session)) is None:
            return {}
        check_endpoint(*configured, advice="Set it to a URL like 'http://127.0.0.1:5000', or remove it.")
    return {"inject_host_prefix": False}


def needs_tls(session: AioSession, endpoint_url: str | None) -> bool:
    """Whether Cloud Map is called over https."""
    _, configured = _configured_endpoint(session) or ("", "https:")
    return (endpoint_url or configured).lower().startswith("https:")


def _configured_endpoint(session: AioSession) -> tuple[str, str] | None:
    """The endpoint that the environment or the profile sets for Cloud Map: which of AWS's four places, and the URL."""
    ignore = _default(session, "ignore_configured_endpoint_urls")
    if ignore is None:
        ignore = session.get_config_variable("ignore_configured_endpoint_urls")
    if ignore:
        return None
    for variable in (f"AWS_ENDPOINT_URL_{CLOUD_MAP.upper()}", "AWS_ENDPOINT_URL"):
        if url := os.environ.get(variable):
            return variable, url
    profile = session.get_scoped_config()
    services = session.full_config.get("services", {}).get(profile.get("services"), {})
    url = services.get(CLOUD_MAP, {}).get("endpoint_url") or profile.get("endpoint_url")
    return ("the profile's endpoint_url", url) if url else None


def user_agent(session: AioSession) -> str:
    """A fixed user agent: botocore would build a new one for every request, at a seventh of the request's cost."""
    # botocore adds user_agent_extra, the session's and the configuration's, to a fixed agent too.
    agent = _default(session, "user_agent") or session.user_agent().removesuffix(f" {session.user_agent_extra}")
    app = _default(session, "user_agent_appid") or session.get_config_variable("user_agent_appid")
    app = app and f" app/{sanitize_user_agent_string_component(app, allow_hash=True)}"
    # AWS_EXECUTION_ENV is part of it, which botocore cleans only in the agents that it builds itself.
    agent = "".join(letter if letter.isascii() and letter.isprintable() else "-" for letter in agent)
    return f"{agent} lib/aiocloudmap#{VERSION}{app or ''}"


def _default(session: AioSession, name: str) -> Any:
    """One setting of the session's default client configuration; None if it is not set."""
    return getattr(session.get_default_client_config(), name, None)


# --- the application's own Config ---


def with_http_session(config: Config | None, http_session_class: type[AIOHTTPSession], **settings: Any) -> AioConfig:
    """The caller's configuration on the shared transport, with `settings` of ours over it.

    Raises:
        ConfigurationError: The caller's configuration has a transport of its own, or settings for one.
    """
    _check_transport("config", config)
    merged = AioConfig() if config is None else AioConfig().merge(config)
    merged = merged.merge(AioConfig(http_session_cls=http_session_class, **settings))
    merged.http_session_cls = http_session_class  # aiobotocore 2 forgets it in merge()
    return merged


def lasting_default(config: Config) -> AioConfig:
    """A session's default configuration that keeps the http session class of a configuration merged into it.

    aiobotocore 2 loses that class in `merge`, and a plain botocore `Config` cannot hold it.

    Raises:
        ConfigurationError: It has a transport of its own.
    """
    _check_transport("the session's default client config", config)
    default = copy.copy(config) if isinstance(config, AioConfig) else AioConfig().merge(config)
    plain_merge = default.merge

    def merge(other_config: Config) -> AioConfig:
        merged = plain_merge(other_config)
        merged.http_session_cls = getattr(other_config, "http_session_cls", default.http_session_cls)
        return merged

    default.merge = merge
    return default


def _check_transport(where: str, config: Config | None) -> None:
    if config is None:
        return
    if not isinstance(config, Config):
        raise ConfigurationError(
            f"invalid {where}: expected an aiobotocore AioConfig or a botocore Config, not {type(config).__name__}"
        )
    plain = AioConfig()
    for name in ("http_session_cls", "connector_args"):
        if getattr(config, name, None) not in (None, getattr(plain, name)):
            raise ConfigurationError(
                f"invalid {where}: it sets {name}, but all clients share one bounded connector",
                advice=f"Remove {name} and use ConnectionPolicy, or make a client with aiobotocore itself.",
            )
    if (getattr(config, "proxies_config", None) or {}).get("proxy_use_forwarding_for_https"):
        # aiobotocore would ignore it silently.
        raise ConfigurationError(
            f"invalid {where}: it sets proxy_use_forwarding_for_https",
            advice="Remove it: https goes through proxies by CONNECT only, so that the proxy cannot read it.",
        )


# --- clients that several callers share ---


class _Same:
    """Equal only for the same object, which it keeps, so that no other object gets its id."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self._value is other._value

    def __hash__(self) -> int:
        return id(self._value)


def by_value(value: Any) -> Any:
    """A hashable stand-in that is equal for equal settings: equal `Config` objects mean the same client.

    It stays as it is when the value changes.
    """
    if isinstance(value, Config):
        return type(value), by_value(vars(value))
    if isinstance(value, Morsel):  # a mapping of a cookie's attributes
        value = value.key, value.value, value.coded_value, dict(value)
    if isinstance(value, MultiMapping):
        value = list(value.items())
    if isinstance(value, Mapping):
        return "mapping", frozenset((key, by_value(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return "sequence", tuple(by_value(item) for item in value)
    if isinstance(value, (set, frozenset)):
        return "set", frozenset(by_value(item) for item in value)
    try:
        hash(value)
    except TypeError:
        return _Same(value)
    return type(value), value  # 1 and True are equal in Python, but not for botocore


def copied(value: Any) -> Any:
    """A copy that later changes of the caller's dicts, lists and `Config` objects do not reach."""
    if isinstance(value, Config):
        copy_of_config = copy.copy(value)
        vars(copy_of_config).update(copied(vars(value)))
        return copy_of_config
    if type(value) in (dict, OrderedDict):
        return {key: copied(item) for key, item in value.items()}
    return [copied(item) for item in value] if type(value) is list else value


class ClientView:
    """A shared aiobotocore client: `close()` and `async with` leave it open, since others use it.

    Everything else is the client's own. It works on every event loop; the transport closes its connections.
    """

    __slots__ = ("__weakref__", "_client")

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        if name == "_client":  # not set yet, in copy or pickle
            raise AttributeError(name)
        return getattr(self._client, name)

    def __dir__(self) -> list[str]:
        return sorted({*dir(self._client), *super().__dir__()})

    def __repr__(self) -> str:
        return f"<shared {type(self._client).__name__} client>"

    async def close(self) -> None:
        """Do nothing."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Do nothing."""
