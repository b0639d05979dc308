"""The store: bounded, one entry a question and policy, and nobody is answered from what it dropped."""

from aiocloudmap import CachePolicy, Instance, Query, ServiceName, Snapshot
from aiocloudmap.cache.entry import NEVER, Entry
from aiocloudmap.cache.memory_store import MAX_ENTRIES, MemoryStore

POLICY = CachePolicy()


def query(number: int) -> Query:
    """A question about a service of this number."""
    return Query(ServiceName("shop", f"s{number}"))


def entry(number: int) -> Entry:
    """A entry with an answer."""
    made = Entry(query(number), POLICY)
    service = made.query.service
    made.write(Snapshot(service, [Instance("a", service)]), soft=30, hard=630, written=0, started=0)
    return made


def test_the_first_cell_of_a_question_is_adopted_and_the_next_one_finds_it():
    """Two handles made at once end up with one entry."""
    store, first, second = MemoryStore(), entry(1), entry(1)
    assert store.find(query(1), POLICY) is None
    assert store.list_entry(first) is first
    assert store.list_entry(second) is first
    assert store.find(query(1), POLICY) is first
    assert (first.listed, second.listed, len(store)) == (True, False, 1)


def test_another_question_or_policy_is_another_cell():
    """The key has both."""
    store = MemoryStore()
    one, two, three = entry(1), entry(2), Entry(query(1), CachePolicy(ttl=5))
    for each in (one, two, three):
        assert store.list_entry(each) is each
    assert set(store.entries()) == {one, two, three}


def test_the_bound_is_4096():
    """As documented."""
    assert MAX_ENTRIES == 4096


def test_one_too_many_drops_the_one_written_longest_ago():
    """And retires it: who holds it finds nothing in it."""
    store = MemoryStore(max_entries=3)
    entries = [store.list_entry(entry(number)) for number in range(3)]
    store.touch(entries[0])
    newest = store.list_entry(entry(3))
    assert set(store.entries()) == {entries[0], entries[2], newest}
    assert not entries[1].listed
    assert entries[1].serve_until == NEVER
    assert entries[0].serve_until == 30
    assert len(store) == 3


def test_a_dropped_cell_is_adopted_again():
    """It is as good as any other empty one."""
    store = MemoryStore(max_entries=1)
    first, second = store.list_entry(entry(1)), entry(2)
    store.list_entry(second)
    assert not first.listed
    assert store.list_entry(first) is first
    assert first.listed
    assert not second.listed
    assert first.serve_until == NEVER


def test_looking_at_all_cells_is_no_use_of_any():
    """What invalidate and stats do must not change who is dropped next."""
    store = MemoryStore(max_entries=2)
    first, second = store.list_entry(entry(1)), store.list_entry(entry(2))
    store.entries()
    store.list_entry(entry(3))
    assert not first.listed
    assert second.listed


def test_clearing_retires_all():
    """And tells how many there were."""
    store = MemoryStore()
    entries = [store.list_entry(entry(number)) for number in range(3)]
    assert store.clear() == 3
    assert (len(store), store.entries()) == (0, [])
    assert [(each.listed, each.serve_until) for each in entries] == [(False, NEVER)] * 3
    assert store.clear() == 0
