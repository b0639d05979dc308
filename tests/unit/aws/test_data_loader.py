"""The quick loader against botocore's own."""

from __future__ import annotations

from aiobotocore.session import AioSession
from botocore.loaders import Loader

from aiocloudmap.aws.data_loader import quicker


def test_the_quick_loader_finds_what_botocores_finds():
    """The same model, the same list, the same answer to whether there is one."""
    own = Loader()
    quick = quicker(own)
    assert quick.load_service_model("sqs", "service-2") == own.load_service_model("sqs", "service-2")
    assert list(quick.list_available_services("waiters-2")) == own.list_available_services("waiters-2")
    assert len(quick.list_available_services("service-2")) == len(own.list_available_services("service-2"))
    assert [name in quick.list_available_services("service-2") for name in ("sqs", "sqz", "..", "")] == [
        True,
        False,
        False,
        False,
    ]


def test_a_loader_of_the_applications_own_is_left_alone():
    """Whatever it does differently, it means."""
    own = type("Own", (Loader,), {})()
    assert quicker(own) is own


async def test_models_of_the_user_are_found(monkeypatch, tmp_path):
    """AWS_DATA_PATH goes first, as ever."""
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path))
    session = AioSession()
    assert quicker(session.get_component("data_loader")).search_paths[0] == str(tmp_path)
