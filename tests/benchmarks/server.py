"""The Cloud Map that `testbed.child_server` runs: it prints its address and ends when its input ends."""

from __future__ import annotations

import json
import ssl
import sys

from aiocloudmap.local import LocalCloudMap, Quotas, World

SIZES = (1, 10, 100, 1000)


def main() -> None:
    world = World(quotas=Quotas.unlimited())
    for size in SIZES:
        for number in range(size):
            attributes = {"QUEUE_URL": f"https://queue/{number}", "AWS_INSTANCE_IPV4": "10.0.0.1", "VERSION": "17"}
            world.register(f"bench/of-{size}", f"i-{number}", attributes)
    for number in range(50):
        world.register(f"bench/each-{number}", "i-0", {"QUEUE_URL": "https://queue", "VERSION": "17"})
    context = None
    if len(sys.argv) > 1:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[1])
    with LocalCloudMap(world, ssl_context=context) as local:
        print(json.dumps(local.environment), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
