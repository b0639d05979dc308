"""`@async_handler` turns a coroutine function into a function for the runtime."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import inspect
import signal
import socket
import ssl
import subprocess
import sys
import threading
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
import trustme

from aiocloudmap import CloudMapError, ConfigurationError, UnavailableError
from aiocloudmap.integrations.aws_lambda import InvocationTimeoutError, async_handler, close
from aiocloudmap.local import LocalCloudMap, World
from aiocloudmap.testing import ManualClock


@pytest.fixture(autouse=True)
def closed():
    yield
    close()


def remaining(seconds: float):
    """A context with this much remaining time."""
    return SimpleNamespace(get_remaining_time_in_millis=lambda: round(seconds * 1000))


async def answer(event, context, *, suffix: str = ""):
    """The answer."""
    await asyncio.sleep(0)
    return event + suffix


@pytest.mark.parametrize(
    "decorate",
    [async_handler, async_handler(), async_handler(margin=0.1)],
    ids=["bare", "with parentheses", "with arguments"],
)
def test_it_returns_a_plain_function_that_looks_like_the_handler(decorate):
    """It keeps name, docstring and signature, and passes all arguments on."""
    handler = decorate(answer)
    assert handler("a", None) == "a"
    assert handler(context=None, event="a", suffix="b") == "ab"
    assert not inspect.iscoroutinefunction(handler)
    assert (handler.__name__, handler.__doc__) == ("answer", "The answer.")
    assert inspect.signature(handler) == inspect.signature(answer)


def sync(event, context):
    """Not a coroutine function."""


async def without_context(event):
    """Has no parameter for the context."""


async def with_third_parameter(event, context, more):
    """Requires an argument that the runtime does not pass."""


@pytest.mark.parametrize("handler", [sync, without_context, with_third_parameter, 0.5, "handler"])
def test_what_the_runtime_cannot_call_raises_an_error(handler):
    """At the decorator; the message says what is expected."""
    with pytest.raises(ConfigurationError, match="async def.*two parameters, event and context"):
        async_handler(handler)


@pytest.mark.parametrize("margin", [-1, float("nan"), float("inf"), "1", None, True])
def test_an_invalid_margin_raises_an_error(margin):
    """At import, not at the first invocation."""
    with pytest.raises(ConfigurationError, match="^invalid margin .*: expected a number of 0 or more$"):
        async_handler(margin=margin)


def test_all_invocations_run_on_one_loop_until_it_is_closed():
    """By `close` or by other code; the next invocation creates a new one."""

    @async_handler
    async def loop(event, context):
        return asyncio.get_running_loop()

    @async_handler
    async def other(event, context):
        return asyncio.get_running_loop()

    first = loop(None, None)
    assert loop(None, None) is first is other(None, None)
    close()
    assert first.is_closed()
    close()
    second = loop(None, None)
    assert second is not first
    second.close()
    assert loop(None, None) not in (first, second)


async def test_inside_a_running_loop_it_says_what_to_await_instead():
    """It creates no coroutine that is never awaited."""
    handler = async_handler(answer)
    with pytest.raises(ConfigurationError, match=r"handler\.__wrapped__\(event, context\)"):
        handler("a", None)
    assert await handler.__wrapped__("a", None) == "a"


def test_a_call_on_a_second_thread_raises_an_error():
    """During an invocation; Lambda never does that."""
    begun, over = threading.Event(), threading.Event()

    @async_handler
    async def wait(event, context):
        begun.set()
        await asyncio.to_thread(over.wait, 60)
        return "done"

    answers = []
    thread = threading.Thread(target=lambda: answers.append(wait(None, None)))
    thread.start()
    assert begun.wait(60)
    with pytest.raises(ConfigurationError, match="on another thread"):
        wait(None, None)
    close()  # has no effect during an invocation
    over.set()
    thread.join()
    assert answers == ["done"]


variable = contextvars.ContextVar("variable", default="unset")


def test_a_handler_sees_context_variables_and_cannot_change_them():
    """Neither for its caller nor for the next invocation."""

    @async_handler
    async def handler(event, context):
        seen = variable.get()
        variable.set("by the handler")
        return seen

    assert handler(None, None) == "unset"
    assert handler(None, None) == "unset"
    token = variable.set("by the caller")
    assert handler(None, None) == "by the caller"
    assert variable.get() == "by the caller"
    variable.reset(token)


async def forever():
    await asyncio.Event().wait()


def test_a_handler_is_cancelled_before_lambdas_limit():
    """The error is a TimeoutError, and not an UnavailableError."""
    cleaned = []

    @async_handler(margin=0.4)
    async def handler(event, context):
        try:
            if event:
                await forever()
        finally:
            cleaned.append(event)

    with pytest.raises(
        InvocationTimeoutError, match=r"longer than 0.01 s: cancelled 0.4 s before Lambda's limit"
    ) as caught:
        handler("wait", remaining(0.41))
    assert isinstance(caught.value, TimeoutError | CloudMapError)
    assert not isinstance(caught.value, UnavailableError)
    assert "forever" in [entry.name for entry in caught.traceback]
    assert cleaned == ["wait"]
    handler(None, remaining(0.41))
    assert cleaned == ["wait", None]


def test_with_less_time_than_the_margin_the_first_await_ends_it():
    """Code before the first wait still runs."""
    done = []

    @async_handler
    async def handler(event, context):
        done.append(event)
        await forever()

    with pytest.raises(InvocationTimeoutError, match="longer than 0 s"):
        handler("begun", remaining(0.1))
    assert done == ["begun"]


def test_a_cancelled_handler_may_return_a_partial_answer():
    """The margin is there for that, or for cleaning up."""

    @async_handler(margin=30)
    async def handler(event, context):
        try:
            await forever()
        except asyncio.CancelledError:
            return "a part"

    assert handler(None, remaining(30.01)) == "a part"


@pytest.mark.parametrize("context", [None, object(), MagicMock()], ids=["None", "an object", "a mock"])
def test_without_a_remaining_time_there_is_no_deadline(context):
    """As in most tests of handlers."""
    assert async_handler(margin=0)(answer)("a", context) == "a"


def test_an_error_reaches_the_caller_and_the_loop_stays_usable():
    """Later invocations work."""

    @async_handler
    async def handler(event, context):
        if event:
            raise event
        return "done"

    for error in (LookupError("no"), TimeoutError("mine"), SystemExit(3)):
        with pytest.raises(type(error)) as caught:
            handler(error, remaining(60))
        assert caught.value is error
        assert handler(None, None) == "done"


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
def test_connections_closed_while_frozen_are_lost_at_the_start(secure):
    """The event loop notices before the handler's first line, so any client's pool knows."""
    authority = trustme.CA()
    ours, theirs = ssl.create_default_context(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.configure_trust(ours)
    authority.issue_cert("127.0.0.1").configure_cert(theirs)
    lost, connected, close_it, closed = [], threading.Event(), threading.Event(), threading.Event()

    class Client(asyncio.Protocol):
        def connection_lost(self, error):
            lost.append(True)

    def serve():
        connection, _ = server.accept()
        if secure:
            connection = theirs.wrap_socket(connection, server_side=True)
        connected.set()
        close_it.wait(60)
        if secure:
            connection.settimeout(0.01)
            with contextlib.suppress(OSError):
                connection.unwrap()  # sends close_notify; the response does not come, since no loop runs
        connection.close()
        closed.set()

    @async_handler
    async def handler(event, context):
        if event:
            tls = ours if secure else None
            await asyncio.get_running_loop().create_connection(Client, *server.getsockname(), ssl=tls)
            await asyncio.to_thread(connected.wait, 60)
        return list(lost)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        assert handler("connect", None) == []
        close_it.set()
        assert closed.wait(60)
        assert handler(None, None) == [True]
        thread.join()


def test_each_invocation_notices_the_time_spent_frozen():
    """The monotonic clock may stop in a frozen sandbox; an expired answer is not used."""
    clock = ManualClock()
    local = LocalCloudMap(World(clock=clock))
    local.world.register("shop/orders", "one", {"QUEUE_URL": "here"})
    orders = local.cloud_map(in_process=True).service("shop/orders")

    @async_handler
    async def handler(event, context):
        return orders.peek() or await orders.resolve()

    first = handler(None, None)
    clock.freeze(600)
    assert handler(None, None) is first
    clock.freeze(60)
    assert handler(None, None) is not first


def counted(handler):
    """A decorator for plain functions."""

    @functools.wraps(handler)
    def inner(event, context):
        return f"<{handler(event, context)}>"

    return inner


def shouted(handler):
    """A decorator for coroutine functions."""

    @functools.wraps(handler)
    async def inner(event, context):
        return (await handler(event, context)).upper()

    return inner


def test_plain_decorators_go_above_it_and_async_ones_below():
    """Each gets the kind of function that it expects."""
    assert counted(async_handler(shouted(answer)))("a", None) == "<A>"


def test_the_decorators_of_powertools_go_above_it(function):
    """The logger has the request id inside the handler, and the tracer gets a plain function."""
    pytest.importorskip("aws_lambda_powertools", reason="aws-lambda-powertools is not installed")
    with function("powertools.handler", env={"POWERTOOLS_TRACE_DISABLED": "true"}) as running:
        for _ in range(2):
            request_id = running.invoke({})
            assert f'"function_request_id":"{request_id}"' in running.log


def test_outside_of_lambda_it_installs_no_signal_handler():
    """A test runner's handler of SIGTERM stays."""
    before = signal.getsignal(signal.SIGTERM)
    async_handler(answer)("a", None)
    assert signal.getsignal(signal.SIGTERM) is before


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60, check=False
    )


def test_the_end_of_the_program_closes_the_loop():
    """Also after using threads: tasks end, and there are no warnings."""
    program = """
import asyncio
from aiocloudmap.integrations.aws_lambda import async_handler

tasks = []

async def stay():
    try:
        await asyncio.Event().wait()
    finally:
        print("ended")

@async_handler
async def handler(event, context):
    tasks.append(asyncio.create_task(stay()))
    return await asyncio.to_thread(str, event)

print(handler(1, None))
"""
    done = run(program)
    assert (done.stdout, done.stderr, done.returncode) == ("1\nended\n", "", 0)


def test_importing_it_loads_no_aws_library():
    """Imports are part of every cold start. Outside of Lambda there is no snapshot library."""
    program = """
import sys
sys.modules["snapshot_restore_py"] = None
import aiocloudmap.integrations.aws_lambda
print(sorted({"aiobotocore", "aiohttp", "botocore"} & set(sys.modules)))
"""
    done = run(program)
    assert (done.stdout, done.stderr) == ("[]\n", "")
