"""Events, and how they are logged."""

import logging
import pickle
from dataclasses import FrozenInstanceError, asdict, fields, replace

import pytest

from aiocloudmap import (
    AnswerTruncated,
    AttributesQuery,
    AttributesRefreshed,
    ClockJumped,
    ConnectError,
    DescriptorsLow,
    EmptyAnswerHeld,
    Query,
    Refreshed,
    RefreshFailed,
    ServiceName,
    Throttled,
)
from aiocloudmap.model.events import Event, log

QUERY = Query(ServiceName("shop", "orders"), where={"TOKEN": "hidden-value"})
OWN = AttributesQuery(QUERY.service)
FAILED = RefreshFailed(QUERY, ConnectError("cannot connect", service=QUERY.service), 1, 61.4, 0.4)
LINES = [
    (Refreshed(QUERY, 2, 0.0123), logging.DEBUG, "shop/orders: 2 instance(s), fetched in 0.012 s"),
    (
        AttributesRefreshed(OWN, 3, 0.0123),
        logging.DEBUG,
        "shop/orders: 3 attribute(s) of its own, fetched in 0.012 s",
    ),
    (
        FAILED,
        logging.WARNING,
        "shop/orders: cannot connect [ConnectError]; serving an answer 61 s old; next attempt in 0.4 s",
    ),
    (
        RefreshFailed(QUERY, ConnectError("cannot connect"), 2, None, 30),
        logging.DEBUG,
        "cannot connect [ConnectError]; nothing to serve; next attempt in 30.0 s",
    ),
    (
        EmptyAnswerHeld(QUERY, 3, 29.6),
        logging.WARNING,
        "shop/orders: an empty answer after 3 instance(s); keeping them, at most 30 s more",
    ),
    (
        EmptyAnswerHeld(OWN, 3, 29.6),
        logging.WARNING,
        "shop/orders: an empty answer after 3 attribute(s) of its own; keeping them, at most 30 s more",
    ),
    (
        AnswerTruncated(QUERY, 1000),
        logging.WARNING,
        "shop/orders: 1000 instances, the most that one answer holds; there may be more",
    ),
    (Throttled(1.25), logging.WARNING, "throttled by AWS; no request for 1.2 s"),
    (
        ClockJumped(45),
        logging.INFO,
        "the clock jumped ahead by 45.0 s: idle connections are closed, answers count as that much older",
    ),
    (
        DescriptorsLow(820, 16, 1024),
        logging.WARNING,
        (
            "820 of 1024 file descriptors are in use, 16 of them connections of aiocloudmap; "
            "look for clients or sessions that are made per request and kept"
        ),
    ),
]
IDS = [type(event).__name__ for event, _, _ in LINES]


@pytest.mark.parametrize(("event", "level", "line"), LINES, ids=IDS)
def test_every_event_is_logged_as_one_line_at_its_level(caplog, event, level, line):
    """The logger is "aiocloudmap", and the record has the name of the event's class."""
    caplog.set_level(logging.DEBUG, "aiocloudmap")
    log(event)
    [record] = caplog.records
    assert (record.name, record.levelno, record.getMessage()) == ("aiocloudmap", level, line)
    assert record.aiocloudmap_event == type(event).__name__


@pytest.mark.parametrize(("event", "level", "line"), LINES, ids=IDS)
def test_no_log_line_contains_the_value_of_a_filter(event, level, line):
    """Values may be secret."""
    assert "hidden-value" not in str(event)


@pytest.mark.parametrize(("event", "level", "line"), LINES, ids=IDS)
def test_events_are_frozen_and_survive_pickling(event, level, line):
    """A listener may pass them to other threads and processes."""
    with pytest.raises(FrozenInstanceError):
        setattr(event, fields(event)[0].name, None)
    with pytest.raises(FrozenInstanceError):
        event.other = None
    with pytest.raises(FrozenInstanceError):
        delattr(event, fields(event)[0].name)
    assert str(pickle.loads(pickle.dumps(event))) == line


def test_events_are_dataclasses_equal_by_value():
    """They have the fields, the repr, the hash and the argument checks of a dataclass."""
    event = Refreshed(QUERY, 2, duration=0.5)
    assert event == Refreshed(query=QUERY, instances=2, duration=0.5)
    assert hash(event) == hash(Refreshed(QUERY, 2, 0.5))
    assert event != replace(event, instances=3)
    assert Throttled(1.0) != ClockJumped(1.0)
    assert asdict(Throttled(1.0)) == {"retry_in": 1.0}
    assert repr(event) == f"Refreshed(query={QUERY!r}, instances=2, duration=0.5)"
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'duration'"):
        Refreshed(QUERY, 2)


def test_events_below_the_level_of_the_logger_are_not_logged(caplog):
    """The program sets the level."""
    caplog.set_level(logging.WARNING, "aiocloudmap")
    log(Refreshed(QUERY, 1, 0.1))
    assert caplog.records == []


def test_the_union_contains_every_event():
    """A match statement over the union is complete."""
    assert set(Event.__args__) == {type(event) for event, _, _ in LINES}
