"""What a session says about Region, endpoint and user agent, read where AWS's own tools look."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from aiocloudmap.arguments import check_endpoint
from aiocloudmap.version import VERSION

if TYPE_CHECKING:
    from aiobotocore.session import AioSession

__all__ = ["CLOUD_MAP", "configured_region", "needs_tls", "own_region", "user_agent", "without_prefix"]

CLOUD_MAP: Final = "servicediscovery"
"""botocore's name of the service."""


def own_region(session: AioSession, given: str | None) -> str | None:
    """The Region where it is ours to say; None where botocore finds it, since botocore does not read AWS_REGION."""
    if given is not None:
        return given
    default = session.get_default_client_config()
    if default is not None and default.region_name is not None:
        return None
    if session.instance_variables().get("region") is not None:
        return None
    return os.environ.get("AWS_REGION") or None


def configured_region(session: AioSession) -> str | None:
    """The Region that botocore finds: the session's own, that of the environment, or the profile's."""
    default = session.get_default_client_config()
    region: str | None = default.region_name if default is not None else None
    return region or session.get_config_variable("region")


def without_prefix(session: AioSession, endpoint_url: str | None) -> dict[str, Any]:
    """The setting that keeps the `data-` prefix off an endpoint that is not AWS's own.

    Raises:
        ConfigurationError: The environment or the profile names one that no client can connect to.
    """
    if endpoint_url is None:
        configured = _configured_endpoint(session)
        if configured is None:
            return {}
        where, url = configured
        check_endpoint(where, url, advice="Set it to one like 'http://127.0.0.1:5000', or leave it out.")
    return {"inject_host_prefix": False}


def needs_tls(session: AioSession, endpoint_url: str | None) -> bool:
    """Whether Cloud Map is asked over https."""
    _, configured = _configured_endpoint(session) or ("", "https:")
    return (endpoint_url or configured).lower().startswith("https:")


def _configured_endpoint(session: AioSession) -> tuple[str, str] | None:
    """Where the environment or the profile sends Cloud Map, if anywhere: which of AWS's four places, and the URL."""
    default = session.get_default_client_config()
    ignore = default.ignore_configured_endpoint_urls if default is not None else None
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
    """A fixed user agent: botocore would put a new one together for every request, at a seventh of its cost."""
    default = session.get_default_client_config()
    own: str | None = default.user_agent if default is not None else None
    # botocore adds user_agent_extra, the session's and the configuration's, to a fixed agent too.
    agent = own or session.user_agent().removesuffix(f" {session.user_agent_extra}")
    app = (default.user_agent_appid if default is not None else None) or session.get_config_variable("user_agent_appid")
    return f"{agent} lib/aiocloudmap#{VERSION}" + (f" app/{app}" if app else "")
