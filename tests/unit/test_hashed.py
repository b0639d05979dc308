"""Questions and policies remember their hash, and are as equal as ever."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys

import pytest

from aiocloudmap import CachePolicy, ConnectionPolicy, HealthFilter, Query, ServiceName

THINGS = [
    lambda: Query(ServiceName("shop", "orders"), HealthFilter.ALL, where={"STAGE": "live"}),
    lambda: CachePolicy(ttl=17),
    lambda: ConnectionPolicy(max_connections=17),
]


@pytest.mark.parametrize("make", THINGS)
def test_equal_ones_have_equal_hashes_and_are_one_key(make):
    """However they came about, asked before or not."""
    one, other = make(), make()
    hash(one)
    copies = [other, copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))]
    assert {one} == {each for each in copies if each == one and hash(each) == hash(one)}
    assert len(copies) == 4


@pytest.mark.parametrize("make", THINGS)
def test_the_hash_is_worked_out_once(make, monkeypatch):
    """It is what makes a dozen look-ups cheap."""
    thing = make()
    first = hash(thing)
    monkeypatch.setattr("aiocloudmap.hashed.fields", lambda _: pytest.fail("worked out again"))
    assert hash(thing) == first


def test_it_does_not_travel():
    """Texts hash differently in another process."""
    query = Query(ServiceName("shop", "orders"))
    hash(query)
    program = "import pickle, sys; q = pickle.loads(sys.stdin.buffer.read()); assert hash(q) == hash(eval(sys.argv[1]))"
    again = "__import__('aiocloudmap').Query(__import__('aiocloudmap').ServiceName('shop', 'orders'))"
    subprocess.run(
        [sys.executable, "-c", program, again],
        input=pickle.dumps(query),
        env={**os.environ, "PYTHONHASHSEED": "1"},
        check=True,
        timeout=60,
    )
