"""`LambdaRuntime` does with any handler what Lambda does, and leaves no process behind."""

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
    """The kernel's letter for what a process does; Z for one that is not there, as for one that is dead."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"


def goes(pid: int) -> bool:
    """Whether the process goes: one that has been killed, and is nobody's child, takes a moment."""
    end = time.monotonic() + 30
    while state(pid) not in "ZX" and time.monotonic() < end:
        time.sleep(0.002)
    return state(pid) in "ZX"


def test_it_gives_the_event_and_returns_the_answer():
    """One process for all; what it prints is kept, and the context is that of the invocation."""
    with plain("echo") as function:
        answer = function.invoke({"order": 7}, timeout=9)
        assert answer["event"] == {"order": 7}
        assert answer["name"] == "local"
        # Two processes' clocks, in whole milliseconds.
        assert 0 < answer["remaining"] <= 9001
        assert function.invoke()["event"] is None
        assert 9001 < function.invoke()["remaining"] <= 30_001
        assert function.cold_starts == 1
        assert "got {'order': 7}\n" in function.log


def test_bytes_come_back_as_they_are():
    """A handler may answer with what is no JSON."""
    with plain("octets") as function:
        assert function.invoke() == b"\x00\xff"


def test_an_error_of_the_handler_is_raised_with_its_name_message_trace_and_log():
    """What Lambda would report; the process goes on."""
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
def test_a_handler_that_is_not_there_is_told_at_each_start(handler, kind):
    """Lambda tries again, and so does this."""
    with LambdaRuntime(handler, cwd=FUNCTIONS) as function:
        for _ in range(2):
            with pytest.raises(FunctionError) as caught:
                function.invoke()
            assert caught.value.type == kind
            assert function.pid is None
        assert function.cold_starts == 2


def test_who_takes_too_long_is_killed_and_the_next_start_is_cold():
    """As Lambda does where nothing ends the handler before."""
    with plain("block") as function:
        function.start()
        pid = function.pid
        for _ in range(2):
            with pytest.raises(FunctionError, match=r"Task timed out after 0.10 seconds") as caught:
                function.invoke(timeout=0.1)
            assert caught.value.type == "Sandbox.Timedout"
            assert goes(pid)
        assert function.cold_starts == 2


def test_a_process_that_ends_is_told_with_its_exit_status():
    """It does not hang the test, and the next invocation finds a new one."""
    with plain("end") as function:
        with pytest.raises(FunctionError, match="exit status 3") as caught:
            function.invoke()
        assert caught.value.type == "Runtime.ExitError"
        with pytest.raises(FunctionError, match="exit status 3"):
            function.invoke()
        assert function.cold_starts == 2


def test_an_event_that_comes_when_the_process_has_just_ended_fails_at_once():
    """Nobody would ask for it any more."""
    invocation = Invocation(b"{}", timeout=30)
    with RuntimeApi() as api:
        api.fail(FunctionError("Runtime.ExitError", "gone"))
        api.put(invocation)
        assert invocation.error.message == "gone"


def test_a_process_that_ends_at_import_says_what_it_printed():
    """Without a word to the Runtime API, its output is all there is."""
    with plain("echo", env={"ENDS_AT_IMPORT": "1"}) as function, pytest.raises(SandboxError, match="good bye"):
        function.invoke()


def test_a_process_that_does_not_become_ready_is_given_up():
    """After `patience`, with what it printed; it is gone with the block."""
    with plain("echo", env={"HANGS_AT_IMPORT": "1"}, patience=1.0) as function:
        with pytest.raises(SandboxError, match="become ready within 1 s.*\n.*takes its time"):
            function.start()
        pid = function.pid
        assert state(pid) not in "ZX"
    assert goes(pid)


def test_a_frozen_process_stands_still_until_the_next_event():
    """All its threads are stopped when `freeze` returns; `thaw` and `invoke` let it go on."""
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
def test_nothing_that_the_function_started_outlives_the_block(frozen):
    """A frozen process is ended like any other, and what it forked with it."""
    with plain("spawn") as function:
        child, parent = function.invoke(), function.pid
        if frozen:
            function.freeze()
        assert {state(child), state(parent)}.isdisjoint("ZX")
    assert goes(parent)
    assert goes(child)


def test_what_a_process_started_goes_when_it_ends_by_itself():
    """Nobody else would know of it."""
    with plain("spawn") as function:
        child = function.invoke()
        os.kill(function.pid, signal.SIGKILL)
        assert goes(child)


@pytest.mark.parametrize(("env", "code"), [({}, -signal.SIGTERM), ({"DEAF": "1"}, -signal.SIGKILL)])
def test_shutting_down_takes_sigterm_and_then_sigkill(env, code):
    """A process that ignores the first does not survive the second."""
    with plain("echo", env=env) as function:
        function.start()
        assert function.terminate(grace=30 if code == -signal.SIGTERM else 0.05) == code
        assert function.pid is None


async def test_in_an_asynchronous_test_the_loop_is_free_meanwhile():
    """The handler may call what the test's own loop serves; leaving the block ends who still works."""
    async with plain("block") as function:
        working = asyncio.create_task(function.ainvoke())
        async with asyncio.timeout(30):
            while "blocks" not in function.log:
                await asyncio.sleep(0.001)
        pid = function.pid
    with pytest.raises(FunctionError, match="Runtime.ExitError"):
        await working
    assert goes(pid)


def test_what_cannot_be_is_refused_with_a_reason():
    """Before the block, before a process, and for events that are no JSON."""
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
def test_what_no_function_can_be_made_of_is_refused(arguments, message):
    """At once, and not by a process that does not start."""
    with pytest.raises(ConfigurationError, match=message):
        LambdaRuntime(**{"handler": "app.handler"} | arguments)


def test_an_invocation_whose_timeout_is_none_is_refused():
    """Before it costs a process."""
    with plain("echo") as function:
        for timeout in ("x", -1, 0):
            with pytest.raises(ConfigurationError, match="^invalid timeout"):
                function.invoke(timeout=timeout)
        assert function.cold_starts == 0


def test_without_awslambdaric_it_says_what_to_install():
    """The plain package does not bring it."""
    program = "import sys; sys.modules['awslambdaric'] = None; import aiocloudmap.testing.lambda_runtime"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert "pip install 'aiocloudmap[testing]'" in done.stderr
