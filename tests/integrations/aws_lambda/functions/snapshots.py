"""A handler that fills its cache before the snapshot, for the restored processes."""

from __future__ import annotations

from snapshot_restore_py import register_after_restore, register_before_snapshot

from aiocloudmap import CloudMap
from aiocloudmap.integrations.aws_lambda import async_handler

cloud_map = CloudMap.from_env()
other = CloudMap.from_env(ttl=5, max_connections=4)
seen = {}


@async_handler
async def handler(event, context):
    urls = [await each.service("shop/orders").attribute("QUEUE_URL") for each in (cloud_map, other)]
    return {"urls": urls, "seen": seen}


@register_before_snapshot
def prime():
    handler(None, None)
    seen["primed"] = cloud_map.stats().open_connections


@register_after_restore
def record():
    seen["restored"] = cloud_map.stats().open_connections
