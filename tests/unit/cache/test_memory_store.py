"""The store: bounded, one entry per question and policy, and dropped entries are empty."""

from aiocloudmap import CachePolicy, Instance, Query, ServiceName, Snapshot
from aiocloudmap.cache.entry import LONG_AGO, Entry
from aiocloudmap.cache.memory_store import MAX_ENTRIES, MemoryStore

POLICY = CachePolicy()


def query(number: int) -> Query:
    """A question about the service with this number."""
    return Query(ServiceName("shop", f"s{number}"))


def entry(number: int) -> Entry:
    """An entry with an answer."""
    made = Entry(query(number), POLICY)
    service = made.query.service
    made.write(Snapshot(service, [Instance("a", service)]), soft=30, hard=630, written=0, started=0)
    return made


def test_the_first_entry_of_a_question_is_listed_for_all():
    """Two handles made at the same time share it."""
    store, first, second = MemoryStore(), entry(1), entry(1)
    assert store.find(query(1), POLICY) is None
    assert store.list_entry(first) is first
    assert store.list_entry(second) is first
    assert store.find(query(1), POLICY) is first
    assert (first.listed, second.listed, len(store)) == (True, False, 1)


def test_another_question_or_policy_is_another_entry():
    """The key consists of both."""
    store = MemoryStore()
    one, two, three = entry(1), entry(2), Entry(query(1), CachePolicy(ttl=5))
    for each in (one, two, three):
        assert store.list_entry(each) is each
    assert set(store.entries()) == {one, two, three}


def test_the_store_holds_4096_entries():
    """As documented."""
    assert MAX_ENTRIES == 4096


def test_a_full_store_evicts_the_entry_written_longest_ago():
    """And unlists it, so a handle that holds it finds it empty."""
    store = MemoryStore(max_entries=3)
    entries = [store.list_entry(entry(number)) for number in range(3)]
    store.touch(entries[0])
    newest = store.list_entry(entry(3))
    assert set(store.entries()) == {entries[0], entries[2], newest}
    assert not entries[1].listed
    assert entries[1].serve_until == LONG_AGO
    assert entries[0].serve_until == 30
    assert len(store) == 3


def test_an_evicted_entry_may_be_listed_again():
    """It is empty, like a new one."""
    store = MemoryStore(max_entries=1)
    first, second = store.list_entry(entry(1)), entry(2)
    store.list_entry(second)
    assert not first.listed
    assert store.list_entry(first) is first
    assert first.listed
    assert not second.listed
    assert first.serve_until == LONG_AGO


def test_listing_the_entries_does_not_change_what_is_evicted():
    """As invalidate and stats do."""
    store = MemoryStore(max_entries=2)
    first, second = store.list_entry(entry(1)), store.list_entry(entry(2))
    store.entries()
    store.list_entry(entry(3))
    assert not first.listed
    assert second.listed


def test_clearing_unlists_every_entry():
    """And returns how many there were."""
    store = MemoryStore()
    entries = [store.list_entry(entry(number)) for number in range(3)]
    assert store.clear() == 3
    assert (len(store), store.entries()) == (0, [])
    assert [(each.listed, each.serve_until) for each in entries] == [(False, LONG_AGO)] * 3
    assert store.clear() == 0
