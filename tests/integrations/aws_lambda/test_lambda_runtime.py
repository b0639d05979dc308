"""`LambdaRuntime` runs any handler as Lambda does, and leaves no process behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("awslambdaric", reason="awslambdaric is not installed")

from aiocloudmap import ConfigurationError
from aiocloudmap.testing.lambda_runtime import FunctionError, LambdaRuntime, SandboxError
from aiocloudmap.testing.runtime_api import Invocation, RuntimeApi

FUNCTIONS = Path(__file__).parent / "functions"


def plain(name, **settings):
    return LambdaRuntime(f"plain.{name}", cwd=FUNCTIONS, **settings)


def state(pid: int) -> str:
    """The process's state in /proc; Z if there is no such process."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"


def ends(pid: int) -> bool:
    """Wait for the end of a process that may not be a child; return whether it has ended."""
    end = time.monotonic() + 30
    while state(pid) not in "ZX" and time.monotonic() < end:
        time.sleep(0.002)
    return state(pid) in "ZX"


def test_it_passes_the_event_and_returns_the_response():
    """In one process, with the invocation's context, and with the output in the log."""
    with plain("echo") as function:
        answer = function.invoke({"order": 7}, timeout=9)
        assert answer["event"] == {"order": 7}
        assert answer["name"] == "local"
        # The clocks of two processes, rounded to milliseconds.
        assert 0 < answer["remaining"] <= 9001
        assert function.invoke()["event"] is None
        assert 9001 < function.invoke()["remaining"] <= 30_001
        assert function.cold_starts == 1
        assert "got {'order': 7}\n" in function.log


def test_bytes_are_returned_unchanged():
    """A handler may return something other than JSON."""
    with plain("octets") as function:
        assert function.invoke() == b"\x00\xff"


def test_an_error_is_raised_with_its_type_message_trace_and_log():
    """As Lambda reports it; the process stays."""
    with plain("fail") as function:
        with pytest.raises(FunctionError, match="LookupError: no such order\n.*in fail") as caught:
            function.invoke()
        assert (caught.value.type, caught.value.message) == ("LookupError", "no such order")
        assert "in fail" in caught.value.trace[-1]
        assert "[ERROR] LookupError" in caught.value.log
        assert function.pid is not None


@pytest.mark.parametrize(
    ("handler", "kind"),
    [("nowhere.handler", "Runtime.ImportModuleError"), ("plain.nothing", "Runtime.HandlerNotFound")],
)
def test_a_missing_handler_raises_an_error_at_each_start(handler, kind):
    """Like Lambda, it tries again."""
    with LambdaRuntime(handler, cwd=FUNCTIONS) as function:
        for _ in range(2):
            with pytest.raises(FunctionError) as caught:
                function.invoke()
            assert caught.value.type == kind
            assert function.pid is None
        assert function.cold_starts == 2


def test_after_a_timeout_the_process_is_killed():
    """As in Lambda; the next start is cold."""
    with plain("block") as function:
        function.start()
        pid = function.pid
        for _ in range(2):
            with pytest.raises(FunctionError, match=r"Task timed out after 0.10 seconds") as caught:
                function.invoke(timeout=0.1)
            assert caught.value.type == "Sandbox.Timedout"
            assert ends(pid)
        assert function.cold_starts == 2


def test_a_process_that_exits_raises_an_error_with_its_status():
    """The next invocation starts a new one."""
    with plain("end") as function:
        with pytest.raises(FunctionError, match="exit status 3") as caught:
            function.invoke()
        assert caught.value.type == "Runtime.ExitError"
        with pytest.raises(FunctionError, match="exit status 3"):
            function.invoke()
        assert function.cold_starts == 2


def test_an_event_after_the_process_has_ended_fails_at_once():
    """No process would request it."""
    invocation = Invocation(b"{}", timeout=30)
    with RuntimeApi() as api:
        api.fail(FunctionError("Runtime.ExitError", "gone"))
        api.put(invocation)
        assert invocation.error.message == "gone"


def test_the_error_of_a_process_that_exits_at_import_has_its_output():
    """It has reported nothing to the Runtime API."""
    with plain("echo", env={"ENDS_AT_IMPORT": "1"}) as function, pytest.raises(SandboxError, match="stopping"):
        function.invoke()


def test_a_process_that_does_not_become_ready_raises_an_error():
    """After `patience`, with its output; the end of the block kills it."""
    # Python must have started by then, on a slow machine too.
    with plain("echo", env={"HANGS_AT_IMPORT": "1"}, patience=4.0) as function:
        with pytest.raises(SandboxError, match="become ready within 4 s.*\n.*still importing"):
            function.start()
        pid = function.pid
        assert state(pid) not in "ZX"
    assert ends(pid)


def test_a_frozen_process_is_stopped_until_the_next_event():
    """`freeze` returns when all threads are stopped; `thaw` and `invoke` continue them."""
    with plain("echo") as function:
        function.invoke()
        function.freeze()
        assert state(function.pid) == "T"
        assert "frozen" in repr(function)
        function.thaw()
        assert state(function.pid) != "T"
        function.freeze()
        assert function.invoke("thawed")["event"] == "thawed"
        assert function.cold_starts == 1


@pytest.mark.parametrize("frozen", [False, True], ids=["running", "frozen"])
def test_the_end_of_the_block_kills_the_function_and_its_children(frozen):
    """A frozen process, too."""
    with plain("spawn") as function:
        child, parent = function.invoke(), function.pid
        if frozen:
            function.freeze()
        assert {state(child), state(parent)}.isdisjoint("ZX")
    assert ends(parent)
    assert ends(child)


def test_the_children_of_a_process_that_exits_are_killed():
    """Otherwise they would run on."""
    with plain("spawn") as function:
        child = function.invoke()
        os.kill(function.pid, signal.SIGKILL)
        assert ends(child)


@pytest.mark.parametrize(("env", "code"), [({}, -signal.SIGTERM), ({"IGNORES_SIGTERM": "1"}, -signal.SIGKILL)])
def test_terminate_sends_sigterm_and_then_sigkill(env, code):
    """A process that ignores the first is killed by the second."""
    with plain("echo", env=env) as function:
        function.start()
        assert function.terminate(grace=30 if code == -signal.SIGTERM else 0.05) == code
        assert function.pid is None


async def test_ainvoke_does_not_block_the_loop():
    """Leaving the block ends running invocations."""
    async with plain("block") as function:
        working = asyncio.create_task(function.ainvoke())
        async with asyncio.timeout(30):
            while "blocks" not in function.log:
                await asyncio.sleep(0.001)
        pid = function.pid
    with pytest.raises(FunctionError, match="Runtime.ExitError"):
        await working
    assert ends(pid)


def test_invalid_calls_raise_an_error_with_the_reason():
    """Outside the block, without a process, and for events that are not JSON."""
    function = plain("echo")
    with pytest.raises(SandboxError, match="use it inside `with`"):
        function.invoke()
    with function:
        with pytest.raises(SandboxError, match="no process is running"):
            function.freeze()
        with pytest.raises(TypeError, match="not JSON serializable"):
            function.invoke(object())
        assert function.cold_starts == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"handler": 5}, r"^invalid handler 5: expected its name, like 'app\.handler'$"),
        ({"timeout": "x"}, r"^invalid timeout 'x': expected a number from 0\.001 to [0-9,]+$"),
        ({"timeout": -1}, "^invalid timeout -1: expected"),
        ({"timeout": float("nan")}, "^invalid timeout nan: expected"),
        ({"patience": None}, "^invalid patience None: expected"),
        ({"env": 5}, "^invalid env of type int: expected a dict"),
        ({"env": {"A": 5}}, "^invalid env 'A' with a value of type int: expected strings$"),
        ({"env": {5: "A"}}, "^invalid env 5 with a value of type str: expected strings$"),
    ],
)
def test_invalid_arguments_raise_an_error(arguments, message):
    """At construction, not at the start of the process."""
    with pytest.raises(ConfigurationError, match=message):
        LambdaRuntime(**{"handler": "app.handler"} | arguments)


def test_an_invalid_timeout_raises_an_error():
    """Without starting a process."""
    with plain("echo") as function:
        for timeout in ("x", -1, 0):
            with pytest.raises(ConfigurationError, match="^invalid timeout"):
                function.invoke(timeout=timeout)
        assert function.cold_starts == 0


def test_without_awslambdaric_it_says_what_to_install():
    """The plain package does not install it."""
    program = "import sys; sys.modules['awslambdaric'] = None; import aiocloudmap.testing.lambda_runtime"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert "pip install 'aiocloudmap[testing]'" in done.stderr
