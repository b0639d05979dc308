"""The tree of errors: what is what, what is said, and what survives a copy."""

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
)
from aiocloudmap.model.query import ServiceName

ORDERS = ServiceName("shop", "orders")
ALL = [getattr(errors, name) for name in errors.__all__]
TREE = {
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


def test_the_tree_is_the_documented_one():
    """One base, and under it the classes with their parents, no more and no fewer."""
    found = {kind.__name__: kind.__bases__ for kind in ALL if kind is not CloudMapError}
    assert found == TREE


def test_an_http_layer_takes_a_connection_limit_for_nothing_it_would_retry():
    """Neither an OSError nor a TimeoutError."""
    assert not issubclass(ConnectionLimitError, OSError | TimeoutError)


def test_what_cannot_be_waited_away_is_not_unavailable():
    """Who catches UnavailableError to try again catches no error that another try cannot help."""
    for kind in (ConfigurationError, NotFoundError, RequestError, InvalidAttributeError):
        assert not issubclass(kind, UnavailableError)


@pytest.mark.parametrize("kind", ALL)
def test_every_error_says_which_service_how_old_and_what_to_do(kind):
    """The message is one line: service, what happened, the age of the last good answer, advice."""
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
def test_what_is_not_known_is_not_said(fields, text):
    """No placeholder stands where a part is missing; an age of 0 is an age."""
    assert str(CloudMapError("it broke", **fields)) == text


@pytest.mark.parametrize("kind", ALL)
def test_every_error_survives_pickling_and_copying(kind):
    """A process pool and a task queue hand errors on."""
    error = kind("it broke", service=ORDERS, advice="Mend it.", last_good_age=3)
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is kind
        assert str(again) == str(error)
        assert vars(again) == vars(error)


def test_fields_of_single_classes_have_their_defaults_and_values():
    """retry_after, code, key and available."""
    assert UnavailableError("x").retry_after is None
    assert ThrottledError("x", retry_after=1.5).retry_after == 1.5
    assert RequestError("x").code == ""
    assert InvalidRequestError("x", code="InvalidInput").code == "InvalidInput"
    missing = AttributeNotFoundError("x", key="K", available={"B", "A"})
    assert (missing.key, missing.available) == ("K", ("A", "B"))


@pytest.mark.parametrize("kind", ALL)
def test_again_is_another_exception_that_says_the_same(kind):
    """Same class, same fields, same cause, and no traceback."""
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


def test_again_takes_changes_and_leaves_the_original():
    """What differs for one caller is not written into what is remembered."""
    error = ConnectError("it broke", last_good_age=1)
    again = error.again(last_good_age=60, retry_after=2.0, service=ORDERS)
    assert str(again) == "shop/orders: it broke; the last good answer is 60 s old"
    assert again.retry_after == 2.0
    assert (error.last_good_age, error.retry_after, error.service) == (1, None, None)


def test_a_deadline_error_is_an_ordinary_timeout_error_without_an_errno():
    """Code that catches TimeoutError catches it; nothing takes it for an error of the system."""
    error = DeadlineError("no answer within 5 s")
    assert isinstance(error, TimeoutError)
    assert error.errno is None
