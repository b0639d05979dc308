"""Handlers without aiocloudmap: `LambdaRuntime` works with any function."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

if "HANGS_AT_IMPORT" in os.environ:
    print("still importing", flush=True)
    time.sleep(600)
if "ENDS_AT_IMPORT" in os.environ:
    print("stopping", flush=True)
    sys.exit(4)
if "IGNORES_SIGTERM" in os.environ:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def echo(event, context):
    print(f"got {event}")
    return {"event": event, "remaining": context.get_remaining_time_in_millis(), "name": context.function_name}


def octets(event, context):
    return b"\x00\xff"


def fail(event, context):
    raise LookupError("no such order")


def end(event, context):
    os._exit(3)


def block(event, context):
    print("blocks", flush=True)
    time.sleep(600)


def spawn(event, context):
    """The id of a process that keeps running."""
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid
