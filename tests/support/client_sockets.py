"""Counts the sockets that this process holds open towards some ports, from the kernel's own table."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

__all__ = ["Peak", "client_sockets", "watching"]


def client_sockets(ports: Iterable[int]) -> int:
    """Sockets whose peer listens on one of the ports; those that only the kernel still remembers do not count."""
    wanted = set(ports)
    count = 0
    for table in ("/proc/self/net/tcp", "/proc/self/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            columns = line.split()
            peer, inode = int(columns[2].rpartition(":")[2], 16), columns[9]
            count += peer in wanted and inode != "0"
    return count


class Peak:
    """The most that was seen."""

    value = 0
    looks = 0


@contextlib.asynccontextmanager
async def watching(ports: Iterable[int]) -> AsyncIterator[Peak]:
    """Look every millisecond until the block ends."""
    peak, wanted = Peak(), set(ports)

    async def look() -> None:
        while True:
            peak.value = max(peak.value, client_sockets(wanted))
            peak.looks += 1
            await asyncio.sleep(0.001)

    task = asyncio.create_task(look())
    try:
        yield peak
    finally:
        task.cancel()
        await asyncio.wait({task})
