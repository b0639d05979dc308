"""Lambda's Runtime API on the loopback: sends events to a process and receives their results.

Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html, and the two requests that SnapStart adds.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

__all__ = ["FunctionError", "Invocation", "RuntimeApi"]

_PREFIX = "/2018-06-01/runtime/"
_POLL_INTERVAL = 0.02
"""Seconds between the server's checks for its shutdown."""
_FUNCTION_ARN = "arn:aws:lambda:eu-west-1:123456789012:function:local"


class FunctionError(Exception):
    """The function ended in an error, as Lambda reports it to a caller.

    Args:
        type: The name of the exception's class, or one of Lambda's own: `Sandbox.Timedout`, `Runtime.ExitError`, ...
        message: The exception's message.
        trace: Its traceback, one frame an item; may be empty.
        log: The output of the process so far.
    """

    def __init__(self, type: str, message: str, *, trace: tuple[str, ...] = (), log: str = "") -> None:  # noqa: A002
        super().__init__(type, message)
        self.type = type
        self.message = message
        self.trace = trace
        self.log = log

    def __str__(self) -> str:
        parts = [f"{self.type}: {self.message}", "".join(self.trace).rstrip()]
        return "\n".join(part for part in parts if part)


@dataclass(slots=True, eq=False)
class Invocation:
    """One event, as JSON, and its result. The function's deadline is `timeout` seconds away."""

    event: bytes
    timeout: float
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    deadline: float = field(init=False)
    result: Any = None
    error: FunctionError | None = None
    ended: bool = False

    def __post_init__(self) -> None:
        self.deadline = time.time() + self.timeout

    def end(self, result: Any = None, error: FunctionError | None = None) -> None:
        """Set the result or the error. Later ones are ignored."""
        if not self.ended:
            self.result, self.error, self.ended = result, error, True


class RuntimeApi:
    """Serves one process, in its own threads. Any thread may `wait` for a change of its state."""

    def __init__(self) -> None:
        self.waiting = 0
        """Requests for the next event that wait: one for each idle process."""
        self.snapshots = 0
        """Processes that wait to be restored from a snapshot."""
        self.error: FunctionError | None = None
        """Why the process could not start or be restored, or that it has ended."""
        self._changed = threading.Condition()
        self._queue: deque[Invocation] = deque()
        self._running: dict[str, Invocation] = {}
        self._restored = False

    @property
    def address(self) -> str:
        """The value of AWS_LAMBDA_RUNTIME_API."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def wait(self, condition: Callable[[], object], timeout: float) -> bool:
        """Wait for a condition on the state. False if it is not true in time."""
        with self._changed:
            return bool(self._changed.wait_for(condition, timeout))

    def put(self, invocation: Invocation) -> None:
        """Queue an event for the process. It fails at once if the process has failed."""
        with self._changed:
            self._restored = True
            self._queue.append(invocation)
            if self.error is not None:
                self._fail_all(self.error)
            self._changed.notify_all()

    def fail(self, error: FunctionError) -> None:
        """Mark the process as failed: its requests get no answer, and events fail. The first error is kept."""
        with self._changed:
            self.error = self.error or error
            self._fail_all(self.error)
            self._changed.notify_all()

    def next(self) -> Invocation | None:
        """Wait for the next event; None if the process has failed."""
        with self._changed:
            self.waiting += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.error or self._queue)
            self.waiting -= 1
            if self.error is not None:
                return None
            invocation = self._queue.popleft()
            self._running[invocation.id] = invocation
            return invocation

    def restore(self) -> bool:
        """Wait until an event restores the process from its snapshot; False if the process has failed."""
        with self._changed:
            self.snapshots += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.error or self._restored)
            self.snapshots -= 1
            return self.error is None

    def complete(self, request_id: str, *, result: Any = None, error: FunctionError | None = None) -> None:
        """Take the result or the error of an event."""
        with self._changed:
            if (invocation := self._running.pop(request_id, None)) is not None:
                invocation.end(result, error)
            self._changed.notify_all()

    def _fail_all(self, error: FunctionError) -> None:
        for invocation in [*self._running.values(), *self._queue]:
            invocation.end(error=error)
        self._running.clear()
        self._queue.clear()

    def __enter__(self) -> Self:
        handler = type("Handler", (_Handler,), {"api": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = False  # closing the server waits for them
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_INTERVAL,), name="aiocloudmap-runtime-api", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.fail(FunctionError("Runtime.ExitError", "the sandbox has been closed"))
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    """One request of a runtime. HTTP/1.0, so that each request ends its connection."""

    api: RuntimeApi
    timeout = 60.0

    def do_GET(self) -> None:
        if self.path == f"{_PREFIX}invocation/next":
            invocation = self.api.next()
            if invocation is not None:
                self._answer(
                    HTTPStatus.OK,
                    invocation.event,
                    {
                        "Lambda-Runtime-Aws-Request-Id": invocation.id,
                        "Lambda-Runtime-Deadline-Ms": str(round(invocation.deadline * 1000)),
                        "Lambda-Runtime-Invoked-Function-Arn": _FUNCTION_ARN,
                    },
                )
        elif self.path == f"{_PREFIX}restore/next":
            if self.api.restore():
                self._answer(HTTPStatus.OK)
        else:
            self._answer(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        match self.path.removeprefix(_PREFIX).split("/"):
            case ["invocation", request_id, "response"]:
                is_json = self.headers.get("Content-Type") == "application/json"
                self.api.complete(request_id, result=json.loads(body) if is_json else body)
            case ["invocation", request_id, "error"]:
                self.api.complete(request_id, error=_reported(body))
            case ["init" | "restore", "error"]:
                self.api.fail(_reported(body))
            case _:
                self._answer(HTTPStatus.NOT_FOUND)
                return
        self._answer(HTTPStatus.ACCEPTED, b'{"status":"OK"}')

    def _answer(self, status: HTTPStatus, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        try:
            self.send_response(status)
            # With a charset added, the runtime would pass bytes to the handler.
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            pass  # the process has ended, which its watcher reports

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Print nothing."""


def _reported(body: bytes) -> FunctionError:
    """The error that a runtime reports."""
    report = json.loads(body)
    return FunctionError(
        report.get("errorType") or "Error",
        report.get("errorMessage") or "",
        trace=tuple(report.get("stackTrace") or ()),
    )
