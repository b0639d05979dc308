"""Counts this process's open sockets to some ports, from the kernel's table."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path

__all__ = ["Peak", "client_sockets", "watching"]


def client_sockets(ports: Iterable[int]) -> int:
    """Sockets of this process whose peer listens on one of the ports.

    The kernel's table lists all processes. Another one may have a socket to an earlier server on the same port.
    """
    wanted, inodes = set(ports), set()
    for table in ("/proc/self/net/tcp", "/proc/self/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            columns = line.split()
            if int(columns[2].rpartition(":")[2], 16) in wanted:
                inodes.add(f"socket:[{columns[9]}]")
    return len(inodes & set(_own())) if inodes else 0


def _own() -> Iterator[str]:
    """The targets of this process's descriptors."""
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            yield os.readlink(f"/proc/self/fd/{number}")


class Peak:
    """The highest count, and the number of counts."""

    value = 0
    looks = 0


@contextlib.asynccontextmanager
async def watching(ports: Iterable[int]) -> AsyncIterator[Peak]:
    """Count every millisecond until the block ends."""
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
