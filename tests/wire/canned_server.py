"""An HTTP server on loopback with canned replies, which records its requests.

It runs in a thread, so it outlives the event loops of a test.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self


class Request(NamedTuple):
    """A request that the server received."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def parameters(self) -> Any:
        return json.loads(self.body)


class Reply(NamedTuple):
    """An answer, or a fault in its place."""

    status: int = 200
    body: bytes = b""
    cut: bool = False  # end the connection before the last byte
    close: bool = False  # end the connection instead of answering
    hang: bool = False  # never answer
    location: str = ""  # the target of a redirect

    @classmethod
    def json(cls, content: object, status: int = 200) -> Self:
        return cls(status, json.dumps(content).encode())


def found(*instance_ids: str) -> Reply:
    """An answer to DiscoverInstances with these instances."""
    return Reply.json(
        {
            "Instances": [
                {
                    "InstanceId": name,
                    "NamespaceName": "shop",
                    "ServiceName": "orders",
                    "HealthStatus": "HEALTHY",
                    "Attributes": {"QUEUE_URL": f"https://{name}"},
                }
                for name in instance_ids
            ],
            "InstancesRevision": 7,
        }
    )


def refused(code: str, message: str = "", status: int = 400) -> Reply:
    """An error as AWS sends it."""
    return Reply.json({"__type": code, "message": message}, status)


class CannedServer:
    """Answers each request with the next reply, which may be a function, and later ones with the last reply."""

    def __init__(self, *replies: Reply | Callable[[Request], Reply], tls: ssl.SSLContext | None = None) -> None:
        self.replies = list(replies)
        self.requests: list[Request] = []
        self._ended = threading.Event()
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._http = _Http(("127.0.0.1", 0), _handler(self))
        if tls is not None:
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True, do_handshake_on_connect=False)
        self._scheme = "http" if tls is None else "https"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        return f"{self._scheme}://localhost:{self._http.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._http.shutdown()
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self._http.server_close()
        self._thread.join()

    def _reply(self, request: Request) -> Reply:
        with self._lock:
            self.requests.append(request)
            reply = self.replies[min(len(self.requests), len(self.replies)) - 1]
        return reply(request) if callable(reply) else reply


class _Http(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: tests disconnect, and distrust the certificate, on purpose."""


def _handler(server: CannedServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # one packet for each answer: a second one would wait for an acknowledgement

        def setup(self) -> None:
            with server._lock:
                server._connections.add(self.request)
            super().setup()

        def finish(self) -> None:
            with server._lock:
                server._connections.discard(self.request)
            with contextlib.suppress(OSError):
                super().finish()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            reply = server._reply(Request(self.command, self.path, dict(self.headers), body))
            if reply.hang:
                server._ended.wait(60)
            if reply.hang or reply.close:
                self.close_connection = True
                return
            self.send_response(reply.status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(reply.body)))
            if reply.location:
                self.send_header("Location", reply.location)
            self.end_headers()
            self.wfile.write(reply.body[:-1] if reply.cut else reply.body)
            self.close_connection = reply.cut

        do_GET = do_PUT = do_POST  # noqa: N815 - the names that http.server looks for

        def log_message(self, *args: object) -> None:
            """Do not log requests."""

    return Handler
