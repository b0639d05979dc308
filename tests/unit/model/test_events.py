"""Events: one readable line each, at a level, without a value."""

import logging
import pickle
from dataclasses import FrozenInstanceError

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
        "45.0 s passed unseen: idle connections are closed, answers count as that much older",
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
    """Under the library's name, with the kind of event beside the line for those who filter."""
    caplog.set_level(logging.DEBUG, "aiocloudmap")
    log(event)
    [record] = caplog.records
    assert (record.name, record.levelno, record.getMessage()) == ("aiocloudmap", level, line)
    assert record.aiocloudmap_event == type(event).__name__


@pytest.mark.parametrize(("event", "level", "line"), LINES, ids=IDS)
def test_no_event_shows_what_a_filter_asks_for_in_its_line(event, level, line):
    """Values may be secret."""
    assert "hidden-value" not in str(event)


@pytest.mark.parametrize(("event", "level", "line"), LINES, ids=IDS)
def test_events_are_frozen_values(event, level, line):
    """A listener hands them on, to other threads and processes too."""
    with pytest.raises(FrozenInstanceError):
        setattr(event, event.__slots__[0], None)
    assert str(pickle.loads(pickle.dumps(event))) == line


def test_what_a_program_does_not_want_to_see_is_not_written(caplog):
    """Below the logger's level nothing is made."""
    caplog.set_level(logging.WARNING, "aiocloudmap")
    log(Refreshed(QUERY, 1, 0.1))
    assert caplog.records == []


def test_the_union_has_every_event():
    """Who matches on the type of an event has these to match."""
    assert set(Event.__args__) == {type(event) for event, _, _ in LINES}
