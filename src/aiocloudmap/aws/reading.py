"""DiscoverInstances' answer, read by the JSON parser alone.

botocore follows it with a walk over every attribute of every instance, to find text where text is. Of a thousand
instances that is ten milliseconds in which the event loop stands still; what is not as it should be, `aws.backend`
finds anyway.
"""

from __future__ import annotations

import json
from typing import Any, Final

__all__ = ["read_quickly"]

_EVENT: Final = "before-parse.servicediscovery.DiscoverInstances"
_MEMBERS: Final = ("Instances", "InstancesRevision")


def read_quickly(client: Any) -> None:
    """Have this client's answers read so. What is no JSON object, or an error, stays botocore's to read."""
    client.meta.events.register(_EVENT, _read)


def _read(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    if response_dict["status_code"] >= 300:
        return
    try:
        answer = json.loads(response_dict["body"].decode())
    except ValueError:
        return
    if not isinstance(answer, dict):
        return
    customized_response_dict |= {name: answer[name] for name in _MEMBERS if answer.get(name) is not None}
    # What is left to botocore are the headers.
    response_dict["body"] = b""
