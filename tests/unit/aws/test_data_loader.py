"""The quick loader against botocore's own."""

from __future__ import annotations

import gzip
import json

import pytest
from aiobotocore.session import AioSession
from botocore.exceptions import UnknownServiceError
from botocore.loaders import JSONFileLoader, Loader

from aiocloudmap.aws.data_loader import QuickFileLoader, quicker


def test_the_quick_loader_finds_what_botocores_finds():
    """The same model, the same list, the same answer to whether there is one."""
    own = Loader()
    quick = quicker(own)
    assert quick.load_service_model("sqs", "service-2") == own.load_service_model("sqs", "service-2")
    assert quick.load_data("endpoints") == own.load_data("endpoints")
    assert type(quick.load_data("endpoints")) is dict
    assert quick.list_available_services("waiters-2") == own.list_available_services("waiters-2")


def test_no_list_of_all_services_is_made_to_load_one(monkeypatch):
    """But who asks for the list gets it; and a service that there is not is refused, with all those that there are."""
    listed = []
    make = Loader.list_available_services
    monkeypatch.setattr(
        Loader, "list_available_services", lambda self, kind: (listed.append(kind), make(self, kind))[1]
    )
    quick = quicker(Loader())
    quick.load_service_model("sqs", "service-2")
    assert listed == []
    assert type(quick.list_available_services("service-2")) is list
    for name in ("sqz", "..", ""):
        with pytest.raises(UnknownServiceError, match="sqs"):
            quick.load_service_model(name, "service-2")


def test_a_loader_of_the_applications_own_is_left_alone():
    """Whatever it does differently, it means."""
    own = type("Own", (Loader,), {})()
    assert quicker(own) is own
    reading_otherwise = Loader(file_loader=type("Own", (JSONFileLoader,), {})())
    assert quicker(reading_otherwise) is reading_otherwise


async def test_models_of_the_user_are_found(monkeypatch, tmp_path):
    """AWS_DATA_PATH goes first, as ever."""
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path))
    session = AioSession()
    assert quicker(session.get_component("data_loader")).search_paths[0] == str(tmp_path)


@pytest.mark.parametrize("loader", [JSONFileLoader(), QuickFileLoader()])
def test_files_are_found_and_read_as_botocore_does(loader, tmp_path):
    """Plain before packed, nothing where there is none or a folder; what is no JSON, or no text, is no data."""
    assert loader.load_file(str(tmp_path / "a")) is None
    (tmp_path / "a.json").mkdir()
    assert loader.load_file(str(tmp_path / "a")) is None
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(b'{"from": "packed"}'))
    assert loader.load_file(str(tmp_path / "a")) == {"from": "packed"}
    (tmp_path / "b.json.gz").write_bytes(gzip.compress(b'{"from": "packed"}'))
    (tmp_path / "b.json").write_text('{"from": "plain"}')
    assert loader.load_file(str(tmp_path / "b")) == {"from": "plain"}
    (tmp_path / "b.json").write_text("{")
    with pytest.raises(json.JSONDecodeError):
        loader.load_file(str(tmp_path / "b"))
    (tmp_path / "b.json").write_bytes(b'{"from": "\xff"}')
    with pytest.raises(UnicodeDecodeError):
        loader.load_file(str(tmp_path / "b"))
