"""The table: bounded, one cell a question and policy, and nobody is answered from what it dropped."""

from aiocloudmap import CachePolicy, Instance, Query, ServiceName, Snapshot
from aiocloudmap.cache.entry import NEVER, Cell
from aiocloudmap.cache.memory_store import MAX_CELLS, Table

POLICY = CachePolicy()


def query(number: int) -> Query:
    """A question about a service of this number."""
    return Query(ServiceName("shop", f"s{number}"))


def cell(number: int) -> Cell:
    """A cell with an answer."""
    made = Cell(query(number), POLICY)
    service = made.query.service
    made.write(Snapshot(service, [Instance("a", service)]), soft=30, hard=630, written=0, started=0)
    return made


def test_the_first_cell_of_a_question_is_adopted_and_the_next_one_finds_it():
    """Two handles made at once end up with one cell."""
    table, first, second = Table(), cell(1), cell(1)
    assert table.find(query(1), POLICY) is None
    assert table.adopt(first) is first
    assert table.adopt(second) is first
    assert table.find(query(1), POLICY) is first
    assert (first.listed, second.listed, len(table)) == (True, False, 1)


def test_another_question_or_policy_is_another_cell():
    """The key has both."""
    table = Table()
    one, two, three = cell(1), cell(2), Cell(query(1), CachePolicy(ttl=5))
    for each in (one, two, three):
        assert table.adopt(each) is each
    assert set(table.cells()) == {one, two, three}


def test_the_bound_is_4096():
    """As documented."""
    assert MAX_CELLS == 4096


def test_one_too_many_drops_the_one_written_longest_ago():
    """And retires it: who holds it finds nothing in it."""
    table = Table(max_cells=3)
    cells = [table.adopt(cell(number)) for number in range(3)]
    table.touch(cells[0])
    newest = table.adopt(cell(3))
    assert set(table.cells()) == {cells[0], cells[2], newest}
    assert not cells[1].listed
    assert cells[1].serve_until == NEVER
    assert cells[0].serve_until == 30
    assert len(table) == 3


def test_a_dropped_cell_is_adopted_again():
    """It is as good as any other empty one."""
    table = Table(max_cells=1)
    first, second = table.adopt(cell(1)), cell(2)
    table.adopt(second)
    assert not first.listed
    assert table.adopt(first) is first
    assert first.listed
    assert not second.listed
    assert first.serve_until == NEVER


def test_looking_at_all_cells_is_no_use_of_any():
    """What invalidate and stats do must not change who is dropped next."""
    table = Table(max_cells=2)
    first, second = table.adopt(cell(1)), table.adopt(cell(2))
    table.cells()
    table.adopt(cell(3))
    assert not first.listed
    assert second.listed


def test_clearing_retires_all():
    """And tells how many there were."""
    table = Table()
    cells = [table.adopt(cell(number)) for number in range(3)]
    assert table.clear() == 3
    assert (len(table), table.cells()) == (0, [])
    assert [(each.listed, each.serve_until) for each in cells] == [(False, NEVER)] * 3
    assert table.clear() == 0
