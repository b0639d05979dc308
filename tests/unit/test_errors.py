"""Errors: classes, messages and copies."""

import copy
import pickle

import pytest

from aiocloudmap import errors
from aiocloudmap.errors import (
    AttributeNotFoundError,
    CloudMapError,
    ConfigurationError,
    ConnectError,
    ConnectionLimitError,
    DeadlineError,
    InvalidAttributeError,
    InvalidRequestError,
    NotFoundError,
    RequestError,
    ThrottledError,
    UnavailableError,
    missing_extra,
)
from aiocloudmap.model.query import ServiceName

ORDERS = ServiceName("shop", "orders")
ALL = [getattr(errors, name) for name in errors.__all__]
BASES = {
    "ConfigurationError": (CloudMapError, ValueError),
    "NotFoundError": (CloudMapError, LookupError),
    "NamespaceNotFoundError": (NotFoundError,),
    "ServiceNotFoundError": (NotFoundError,),
    "NoInstancesError": (NotFoundError,),
    "AttributeNotFoundError": (NotFoundError,),
    "InvalidAttributeError": (CloudMapError, ValueError),
    "RequestError": (CloudMapError,),
    "InvalidRequestError": (RequestError,),
    "AccessDeniedError": (RequestError,),
    "UnavailableError": (CloudMapError,),
    "ConnectError": (UnavailableError,),
    "DeadlineError": (UnavailableError, TimeoutError),
    "ThrottledError": (UnavailableError,),
    "CredentialsError": (UnavailableError,),
    "ProtocolError": (UnavailableError,),
    "ConnectionLimitError": (UnavailableError,),
    "TooManyOpenFilesError": (UnavailableError,),
}


def test_the_classes_have_the_documented_bases():
    """One base class, and no other classes."""
    found = {kind.__name__: kind.__bases__ for kind in ALL if kind is not CloudMapError}
    assert found == BASES


def test_http_libraries_do_not_retry_a_connection_limit():
    """It is neither an OSError nor a TimeoutError."""
    assert not issubclass(ConnectionLimitError, OSError | TimeoutError)


def test_errors_that_a_retry_cannot_fix_are_not_unavailable():
    """Programs may retry any UnavailableError."""
    for kind in (ConfigurationError, NotFoundError, RequestError, InvalidAttributeError):
        assert not issubclass(kind, UnavailableError)


@pytest.mark.parametrize("kind", ALL)
def test_a_message_has_service_error_age_and_advice(kind):
    """On one line."""
    error = kind("it broke", service=ORDERS, advice="Mend it.", last_good_age=12.4)
    assert str(error) == "shop/orders: it broke; the last good answer is 12 s old. Mend it."


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "it broke"),
        ({"service": ORDERS}, "shop/orders: it broke"),
        ({"advice": "Mend it."}, "it broke. Mend it."),
        ({"last_good_age": 0.0}, "it broke; the last good answer is 0 s old"),
    ],
)
def test_a_message_omits_what_is_unknown(fields, text):
    """An age of 0 is known."""
    assert str(CloudMapError("it broke", **fields)) == text


@pytest.mark.parametrize("kind", ALL)
def test_every_error_survives_pickling_and_copying(kind):
    """For process pools and task queues."""
    error = kind("it broke", service=ORDERS, advice="Mend it.", last_good_age=3)
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is kind
        assert str(again) == str(error)
        assert vars(again) == vars(error)


def test_attributes_of_single_classes_have_defaults():
    """retry_after, code, key and available."""
    assert UnavailableError("x").retry_after is None
    assert ThrottledError("x", retry_after=1.5).retry_after == 1.5
    assert RequestError("x").code == ""
    assert InvalidRequestError("x", code="InvalidInput").code == "InvalidInput"
    missing = AttributeNotFoundError("x", key="K", available={"B", "A"})
    assert (missing.key, missing.available) == ("K", ("A", "B"))


@pytest.mark.parametrize("kind", ALL)
def test_again_copies_an_error_without_its_traceback(kind):
    """The class, the attributes and the cause are the same."""
    try:
        raise kind("it broke", service=ORDERS, advice="Mend it.") from OSError("below")
    except CloudMapError as caught:
        error = caught
    again = error.again()
    assert again is not error
    assert type(again) is kind
    assert str(again) == str(error)
    assert again.__cause__ is error.__cause__
    assert again.__suppress_context__
    assert again.__traceback__ is None


def test_again_applies_changes_to_the_copy_only():
    """The original may be remembered for other callers."""
    error = ConnectError("it broke", last_good_age=1)
    again = error.again(last_good_age=60, retry_after=2.0, service=ORDERS)
    assert str(again) == "shop/orders: it broke; the last good answer is 60 s old"
    assert again.retry_after == 2.0
    assert (error.last_good_age, error.retry_after, error.service) == (1, None, None)


def test_a_deadline_error_is_a_timeout_error_without_errno():
    """It is not an error of the system."""
    error = DeadlineError("no answer within 5 s")
    assert isinstance(error, TimeoutError)
    assert error.errno is None


def test_a_missing_library_is_named_with_its_extra():
    """The last line of the traceback is the command to install it."""
    error = missing_extra("fastapi", ImportError("No module named 'fastapi'", name="fastapi"))
    assert str(error) == "fastapi is not installed; install it with: pip install 'aiocloudmap[fastapi]'"
    assert error.name == "fastapi"


def test_a_missing_library_may_have_no_name():
    """An extension module that fails to load may omit it."""
    assert str(missing_extra("httpx", ImportError("broken"))).startswith("a library is not installed")
