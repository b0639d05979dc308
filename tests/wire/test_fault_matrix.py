"""Every fault in every cache state, for one caller and a hundred: results, waits and calls."""

from __future__ import annotations

import dataclasses

import pytest
from botocore.retries.standard import ExponentialBackoff
from fault_matrix import AGES, CACHE, CALLERS, CONNECTIONS, FAULTS, PAGE, TABLES, WIRES, Cell, Row, with_tables
from matrix_stage import Play, old_answer
from tests.support.tcp_proxy import TcpProxy

from aiocloudmap.local import LocalCloudMap, Quotas, World
from aiocloudmap.local.fault import Kind
from aiocloudmap.testing import ManualClock


@pytest.fixture(autouse=True)
def no_pause_between_attempts(monkeypatch):
    """botocore waits up to several seconds of real time between two attempts, at random."""
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda self, context: 0)


def stage() -> tuple[LocalCloudMap, ManualClock]:
    """A world with two instances of shop/orders, and its clock."""
    clock = ManualClock()
    world = World(clock=clock, quotas=Quotas.unlimited())
    for name in ("one", "two"):
        world.register("shop/orders", name, {"QUEUE_URL": f"https://{name}"})
    return LocalCloudMap(world), clock


@pytest.mark.parametrize("callers", CALLERS)
@pytest.mark.parametrize("state", AGES)
@pytest.mark.parametrize("fault", FAULTS)
async def test_over_real_sockets(fault: str, state: str, callers: int):
    """With the real client, transport and server. The server counts the calls."""
    row, (local, clock) = FAULTS[fault], stage()
    connections = dataclasses.replace(CONNECTIONS, connect_timeout=60, read_timeout=row.read_timeout)
    async with local, local.cloud_map(cache=CACHE, connections=connections) as cloud_map:
        await play(row, state, callers, local, clock, cloud_map.service("shop/orders"), local.stats.calls)


@pytest.mark.parametrize("callers", CALLERS)
@pytest.mark.parametrize("state", AGES)
@pytest.mark.parametrize("fault", [name for name, row in FAULTS.items() if not row.on_wire_only])
async def test_in_process(fault: str, state: str, callers: int):
    """The same without sockets and without retries."""
    row, (local, clock) = FAULTS[fault], stage()
    backend = local.backend()
    once = {name: once_only(row.cell(name)) for name in ("stale", "fallback", "absent")}
    async with local.cloud_map(in_process=True, backend=backend, cache=CACHE) as cloud_map:
        service = cloud_map.service("shop/orders")
        await play(dataclasses.replace(row, **once), state, callers, local, clock, service, backend.calls)


async def play(row: Row, state: str, callers: int, local, clock, service, calls) -> None:
    """Play one cell over the wire or in process."""
    old = await old_answer(service, clock, state)
    fault = row.switch_on(local.faults)
    play = Play(
        service,
        clock,
        calls=lambda: calls["DiscoverInstances"],
        reached=lambda: fault is None or fault.hits > 0,
        release=local.faults.release,
    )
    await play.act(row.cell(state), row, old, callers)


@pytest.mark.parametrize("callers", CALLERS)
@pytest.mark.parametrize("state", AGES)
@pytest.mark.parametrize("fault", WIRES)
async def test_over_a_broken_network(fault: str, state: str, callers: int):
    """A proxy breaks the connections; once it is repaired, calls succeed."""
    row, (local, clock) = WIRES[fault], stage()
    connections = dataclasses.replace(CONNECTIONS, connect_timeout=60, read_timeout=row.read_timeout)
    async with local, TcpProxy(local.endpoint_url) as proxy:
        settings = {"cache": CACHE, "connections": connections, "endpoint_url": proxy.url}
        async with local.cloud_map(**settings) as cloud_map:
            service = cloud_map.service("shop/orders")
            old = await old_answer(service, clock, state)
            row.switch_on(proxy)
            play = Play(
                service,
                clock,
                calls=lambda: local.stats.calls["DiscoverInstances"],
                reached=lambda: proxy.met > 0,
                release=proxy.mend,
            )
            await play.act(row.cell(state), row, old, callers)
            assert (proxy.met > 0) == (state != "fresh")
            proxy.mend()
            assert len(await service.resolve(max_age=0)) == 2


def once_only(cell: Cell) -> Cell:
    """The cell without retries."""
    return dataclasses.replace(cell, calls=min(1, cell.calls))


def test_every_fault_is_in_the_matrix():
    """A new fault needs a new row."""
    local, _ = stage()
    with local:  # drop_idle is not a kind: it acts on running servers
        switched_on = {fault.kind for row in FAULTS.values() if (fault := row.switch_on(local.faults)) is not None}
    assert switched_on == set(Kind)


def test_the_page_has_the_tested_tables():
    """`python tests/wire/fault_matrix.py` writes them."""
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_tables(page, TABLES)
