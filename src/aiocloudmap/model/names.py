"""Whom a question is about, by AWS's own patterns (the shapes of its service model)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from aiocloudmap.errors import ConfigurationError
from aiocloudmap.shown import shown

__all__ = ["ServiceName"]

# Patterns, not compiled ones, as in `aiocloudmap.model.query`: `re` keeps those that it has compiled.
_NAMESPACE = r"[!-~]{1,1024}"
_LABEL = r"(?:[a-zA-Z0-9_][a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_]|[a-zA-Z0-9])"
_SERVICE = rf"(?=.{{1,127}}\Z){_LABEL}(?:\.{_LABEL})*|\."
_SCHEME = "cloudmap://"


@dataclass(frozen=True, slots=True, order=True)
class ServiceName:
    """A service and the namespace it lives in, by AWS's patterns.

    Args:
        namespace: The namespace's HttpName: 1 to 1,024 printable ASCII characters; may hold a slash.
        service: Labels of up to 63 letters, digits, `_` and `-`, joined by dots, 127 characters at most; or `.` alone.

    Raises:
        ConfigurationError: AWS would refuse the name.
    """

    namespace: str
    service: str

    def __post_init__(self) -> None:
        parts: tuple[object, ...] = (self.namespace, self.service)
        if not all(isinstance(part, str) for part in parts):
            raise ConfigurationError(f"a service name is made of two strings, not {shown(parts)}")
        if not re.fullmatch(_NAMESPACE, self.namespace):
            raise ConfigurationError(
                f"{shown(self.namespace)} is no namespace name",
                advice="A namespace name has 1 to 1,024 printable ASCII characters and no spaces.",
            )
        if not re.fullmatch(_SERVICE, self.service):
            raise ConfigurationError(
                f"{shown(self.service)} is no service name",
                advice="A service name has labels of letters, digits, '_' and '-' joined by dots: at most 63 characters"
                " a label, 127 in all, and no '-' at either end of a label.",
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """The name that `namespace/service` or `cloudmap://namespace/service` stands for.

        The text is split at its last slash: namespaces may hold one, services may hold dots.

        Raises:
            ConfigurationError: The text is not of that form, or AWS would refuse one of its parts.
        """
        if not isinstance(text, str):
            raise ConfigurationError(f"a service name is a string like 'shop/orders', not {shown(text)}")
        namespace, slash, service = text.removeprefix(_SCHEME).rpartition("/")
        if not slash or not namespace or not service:
            raise ConfigurationError(
                f"{shown(text)} is no service name",
                advice="Write namespace/service, like 'shop/orders' or 'cloudmap://shop/orders'.",
            )
        return cls(namespace, service)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.service}"
