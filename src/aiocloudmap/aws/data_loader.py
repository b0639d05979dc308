"""botocore's loader of service models, without what the first client spends most of its time on.

Before it loads one model botocore lists every service there is, to say which ones it knows should this one be unknown:
file names nobody reads. And it reads a megabyte of endpoints into ordered dicts, one by one, which dicts have long been
themselves, while the garbage collector goes through all of them again and again.
"""

from __future__ import annotations

import contextlib
import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import DataNotFoundError
from botocore.loaders import JSONFileLoader, Loader

from aiocloudmap.aws.endpoint_data import read_endpoints
from aiocloudmap.loading import collector_at_rest

__all__ = ["QuickFileLoader", "QuickLoader", "quicker"]

_OPENERS: Final[Mapping[str, Callable[..., Any]]] = {".json": open, ".json.gz": gzip.open}


class QuickFileLoader(JSONFileLoader):  # type: ignore[misc]
    """Reads the same files, into plain dicts."""

    def load_file(self, file_path: str) -> Any:
        """What the file holds, None where there is none.

        Args:
            file_path: Without the ending: .json goes before .json.gz.
        """
        for ending, opened in _OPENERS.items():
            with contextlib.suppress(FileNotFoundError, IsADirectoryError), opened(file_path + ending, "rb") as file:
                text = file.read().decode()
                with collector_at_rest():
                    return read_endpoints(text) if Path(file_path).name == "endpoints" else json.loads(text)
        return None


class QuickLoader(Loader):  # type: ignore[misc]
    """Finds the same models in the same places as the loader it stands in for."""

    _is_loading = False

    def load_service_model(self, service_name: str, type_name: str, api_version: str | None = None) -> Any:
        """As ever, but that nobody lists all services to see that there is this one."""
        self._is_loading = True
        try:
            return super().load_service_model(service_name, type_name, api_version)
        finally:
            self._is_loading = False

    def list_available_services(self, type_name: str) -> Any:
        """The services that have a model of this type; in the middle of loading one, listed when the list is read."""
        return _Services(self, type_name) if self._is_loading else self.list_all(type_name)

    def list_all(self, type_name: str) -> list[str]:
        """All of them, found in the way of botocore itself."""
        services: list[str] = super().list_available_services(type_name)
        return services


class _Services(Sequence[str]):
    def __init__(self, loader: QuickLoader, type_name: str) -> None:
        self._loader = loader
        self._type_name = type_name

    def __contains__(self, service: object) -> bool:
        try:
            return bool(self._loader.list_api_versions(service, self._type_name))
        except DataNotFoundError:
            return False

    def __getitem__(self, index: Any) -> Any:
        return self._loader.list_all(self._type_name)[index]

    def __len__(self) -> int:
        return len(self._loader.list_all(self._type_name))


def quicker(loader: Any) -> Any:
    """A loader that does the same faster; an application's own is returned as it is."""
    if type(loader) is not Loader or type(loader.file_loader) is not JSONFileLoader:
        return loader
    return QuickLoader(
        extra_search_paths=list(loader.search_paths),
        file_loader=QuickFileLoader(),
        include_default_search_paths=False,
    )
