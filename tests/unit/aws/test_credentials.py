"""Credentials that all event loops share: when they are loaded, renewed and dropped."""

from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest
from aiobotocore.credentials import AioCredentials
from botocore.credentials import Credentials, ReadOnlyCredentials
from botocore.exceptions import CredentialRetrievalError, NoCredentialsError, ProfileNotFound

from aiocloudmap.aws import credentials as module
from aiocloudmap.aws.credentials import EXPIRED, RENEWAL_INTERVAL, SharedCredentials
from aiocloudmap.errors import ConfigurationError, CredentialsError


class Source:
    """Credentials that end in `remaining` seconds."""

    def __init__(self, key: str, remaining: float = 3600) -> None:
        self.frozen = ReadOnlyCredentials(key, "secret", "token")
        self.remaining = remaining

    def refresh_needed(self, seconds: int | None = None) -> bool:
        return self.remaining < (900 if seconds is None else seconds)

    async def get_frozen_credentials(self) -> ReadOnlyCredentials:
        return self.frozen


class Provider:
    """Returns one source after the other, or raises it, once `gate` is open."""

    def __init__(self, *sources: object) -> None:
        self.sources = list(sources)
        self.loads = 0
        self.ended = 0
        self.gate: asyncio.Event | None = None

    async def __call__(self) -> object:
        self.loads += 1
        source = self.sources[min(self.loads, len(self.sources)) - 1]
        try:
            if self.gate is not None:
                await self.gate.wait()
        finally:
            self.ended += 1
        if isinstance(source, Exception):
            raise source
        return source


class Monotonic:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_good_credentials_are_loaded_once():
    """Every later caller gets the held ones."""
    provider = Provider(Source("first"), Source("second"))
    shared = SharedCredentials(provider)
    keys = [(await shared.get_frozen_credentials()).access_key for _ in range(3)]
    assert (keys, provider.loads) == (["first"] * 3, 1)


async def test_a_thousand_first_callers_share_one_load():
    """On one event loop, all callers that come during a load get its result."""
    provider = Provider(Source("first"))
    provider.gate = asyncio.Event()
    shared = SharedCredentials(provider)
    callers = [asyncio.create_task(shared.get_frozen_credentials()) for _ in range(1000)]
    await asyncio.sleep(0)
    provider.gate.set()
    assert {frozen.access_key for frozen in await asyncio.gather(*callers)} == {"first"}
    assert provider.loads == 1


async def test_static_credentials_need_no_renewal():
    """They do not expire. botocore's own synchronous class works too."""
    provider = Provider(Credentials("static", "secret"))
    shared = SharedCredentials(provider)
    await shared.get_frozen_credentials()
    assert (await shared.get_frozen_credentials()).access_key == "static"
    assert provider.loads == 1


async def test_credentials_are_renewed_before_they_expire():
    """The first caller near their end waits for new ones."""
    provider = Provider(ageing := Source("old"), Source("new"))
    clock = Monotonic()
    shared = SharedCredentials(provider, monotonic=clock)
    await shared.get_frozen_credentials()
    ageing.remaining, clock.now = 800, RENEWAL_INTERVAL + 1
    assert (await shared.get_frozen_credentials()).access_key == "new"


async def test_only_one_caller_renews_working_credentials():
    """The others use the held ones while the renewal runs."""
    provider = Provider(ageing := Source("old"), Source("new"))
    clock = Monotonic()
    shared = SharedCredentials(provider, monotonic=clock)
    await shared.get_frozen_credentials()
    ageing.remaining, clock.now, provider.gate = 800, RENEWAL_INTERVAL + 1, asyncio.Event()
    first = asyncio.create_task(shared.get_frozen_credentials())
    await asyncio.sleep(0)
    assert (await shared.get_frozen_credentials()).access_key == "old"
    provider.gate.set()
    assert (await first).access_key == "new"
    assert provider.loads == 2


async def test_a_slow_renewal_is_not_waited_for(monkeypatch):
    """The caller gets the held credentials; the renewal goes on, and its result is used later."""
    monkeypatch.setattr(module, "RENEWAL_WAIT", 0.001)
    provider = Provider(ageing := Source("old"), Source("new"))
    clock = Monotonic()
    shared = SharedCredentials(provider, monotonic=clock)
    await shared.get_frozen_credentials()
    ageing.remaining, clock.now, provider.gate = 800, RENEWAL_INTERVAL + 1, asyncio.Event()
    assert (await shared.get_frozen_credentials()).access_key == "old"
    provider.gate.set()
    while provider.ended < 2 or asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.sleep(0)
    assert (await shared.get_frozen_credentials()).access_key == "new"


async def test_a_failed_renewal_is_not_repeated_immediately():
    """The held credentials are used; the next attempt comes RENEWAL_INTERVAL seconds later."""
    provider = Provider(ageing := Source("old"), OSError("down"), OSError("down"))
    clock = Monotonic()
    shared = SharedCredentials(provider, monotonic=clock)
    await shared.get_frozen_credentials()
    ageing.remaining, clock.now = EXPIRED + 1, RENEWAL_INTERVAL + 1
    loads = []
    for _ in range(3):
        assert (await shared.get_frozen_credentials()).access_key == "old"
        loads.append(provider.loads)
    clock.now += RENEWAL_INTERVAL + 1
    await shared.get_frozen_credentials()
    assert [*loads, provider.loads] == [2, 2, 2, 3]


async def test_a_renewal_with_expired_credentials_changes_nothing():
    """The held ones still work, and stay."""
    provider = Provider(ageing := Source("old"), Source("dead", remaining=-1))
    clock = Monotonic()
    shared = SharedCredentials(provider, monotonic=clock)
    await shared.get_frozen_credentials()
    ageing.remaining, clock.now = 800, RENEWAL_INTERVAL + 1
    keys = [(await shared.get_frozen_credentials()).access_key for _ in range(2)]
    assert (keys, provider.loads) == (["old"] * 2, 2)


async def test_expired_credentials_are_never_used():
    """Every caller waits for the new ones."""
    provider = Provider(old := Source("old"), Source("new"))
    shared = SharedCredentials(provider)
    await shared.get_frozen_credentials()
    old.remaining = EXPIRED - 1
    found = await asyncio.gather(*(shared.get_frozen_credentials() for _ in range(5)))
    assert ({frozen.access_key for frozen in found}, provider.loads) == ({"new"}, 2)


async def test_each_caller_gets_its_own_exception_for_a_failed_load():
    """A shared one would collect the tracebacks of all callers."""
    cause = CredentialRetrievalError(provider="test", error_msg="down")
    shared = SharedCredentials(Provider(cause))
    errors = await asyncio.gather(*(shared.get_frozen_credentials() for _ in range(2)), return_exceptions=True)
    assert [(type(error), error.__cause__) for error in errors] == [(CredentialsError, cause)] * 2
    assert errors[0] is not errors[1]


async def test_each_caller_gets_its_own_copy_of_a_library_error():
    """With the same message, and without itself as its cause."""
    shared = SharedCredentials(Provider(CredentialsError("not now")))
    errors = await asyncio.gather(*(shared.get_frozen_credentials() for _ in range(2)), return_exceptions=True)
    assert [str(error) for error in errors] == ["not now"] * 2
    assert [error.__cause__ for error in errors] == [None] * 2
    assert errors[0] is not errors[1]


async def test_a_wrong_setting_is_a_configuration_error():
    """A later attempt would not find the profile either."""
    shared = SharedCredentials(Provider(ProfileNotFound(profile="unknown")))
    with pytest.raises(ConfigurationError, match="profile unknown"):
        await shared.get_frozen_credentials()


async def test_missing_credentials_are_botocores_own_error():
    """Every client expects botocore's own error here."""
    shared = SharedCredentials(Provider(None))
    with pytest.raises(NoCredentialsError):
        await shared.get_frozen_credentials()


async def test_a_source_that_no_longer_returns_any_is_an_outage():
    """A metadata service that is down must not look like a missing setting."""
    shared = SharedCredentials(Provider(Source("first"), None))
    await shared.get_frozen_credentials()
    shared.drop()
    with pytest.raises(CredentialsError, match="no longer returns any"):
        await shared.get_frozen_credentials()


async def test_newly_loaded_but_expired_credentials_are_an_error():
    """They are neither used nor kept."""
    provider = Provider(Source("dead", remaining=-1), Source("alive"))
    shared = SharedCredentials(provider)
    with pytest.raises(CredentialsError, match="expired"):
        await shared.get_frozen_credentials()
    assert (await shared.get_frozen_credentials()).access_key == "alive"


async def test_cancelling_one_caller_does_not_end_the_load():
    """The other caller gets its result."""
    provider = Provider(Source("first"))
    provider.gate = asyncio.Event()
    shared = SharedCredentials(provider)
    leaver, stayer = (asyncio.create_task(shared.get_frozen_credentials()) for _ in range(2))
    await asyncio.sleep(0)
    leaver.cancel()
    await asyncio.wait({leaver})
    provider.gate.set()
    assert (await stayer).access_key == "first"
    assert (leaver.cancelled(), provider.loads) == (True, 1)


async def test_cancelling_the_last_caller_ends_the_load():
    """The next caller starts a new one."""
    provider = Provider(Source("first"))
    provider.gate = asyncio.Event()
    shared = SharedCredentials(provider)
    cancelled = [asyncio.create_task(shared.get_frozen_credentials()) for _ in range(2)]
    while not provider.loads:
        await asyncio.sleep(0)
    for caller in cancelled:
        caller.cancel()
    await asyncio.wait(cancelled)
    assert (provider.loads, provider.ended) == (1, 1)
    provider.gate.set()
    assert (await shared.get_frozen_credentials()).access_key == "first"


async def test_a_load_that_hangs_times_out(monkeypatch):
    """A credential process that never ends must not block its callers forever."""
    monkeypatch.setattr(module, "LOAD_TIMEOUT", 0.001)
    provider = Provider(Source("never"))
    provider.gate = asyncio.Event()
    with pytest.raises(CredentialsError, match="TimeoutError"):
        await SharedCredentials(provider).get_frozen_credentials()


async def test_dropped_credentials_are_loaded_again():
    """As after a restored snapshot."""
    shared = SharedCredentials(Provider(Source("before"), Source("after")))
    before = await shared.get_frozen_credentials()
    shared.drop()
    assert (before.access_key, (await shared.get_frozen_credentials()).access_key) == ("before", "after")


async def test_only_rejected_credentials_are_dropped():
    """A late refusal of the old ones must not drop the new ones."""
    provider = Provider(Source("old"), Source("new"))
    shared = SharedCredentials(provider)
    await shared.get_frozen_credentials()
    old = shared.held
    shared.drop(old)
    await shared.get_frozen_credentials()
    shared.drop(old)
    assert ((await shared.get_frozen_credentials()).access_key, provider.loads) == ("new", 2)


async def test_a_load_that_began_before_the_drop_is_not_kept():
    """Only its own callers get its result, even if it ends last."""
    provider = Provider(Source("before"), Source("after"))
    provider.gate = gate = asyncio.Event()
    shared = SharedCredentials(provider)
    waiter = asyncio.create_task(shared.get_frozen_credentials())
    while not provider.loads:
        await asyncio.sleep(0)
    shared.drop()
    provider.gate = None
    after = await shared.get_frozen_credentials()
    gate.set()
    assert (after.access_key, (await waiter).access_key) == ("after", "before")
    assert (await shared.get_frozen_credentials()).access_key == "after"


async def test_a_load_does_not_see_a_callers_context():
    """It serves all callers, so the request that began it must not be visible in it."""
    request = contextvars.ContextVar("request", default="unset")
    seen = []

    async def load():
        seen.append(request.get())
        return Source("first")

    request.set("caller")
    await SharedCredentials(load).get_frozen_credentials()
    assert seen == ["unset"]


async def test_botocore_gets_single_values_on_demand():
    """The account and any other value by name, when it needs them."""
    shared = SharedCredentials(Provider(AioCredentials("key", "secret", account_id="123456789012")))
    assert await shared.get_account_id() == "123456789012"
    assert await shared.get_deferred_property("access_key")() == "key"


def test_successive_loops_share_the_held_credentials():
    """They belong to the process, and no lock of an earlier loop is in the way."""
    provider = Provider(Source("first"))
    shared = SharedCredentials(provider)

    async def ask():
        return await asyncio.gather(*(shared.get_frozen_credentials() for _ in range(4)))

    for _ in range(4):
        assert {frozen.access_key for frozen in asyncio.run(ask())} == {"first"}
    assert provider.loads == 1


def test_threads_can_renew_at_the_same_time():
    """Each loop renews by itself and waits for no other."""
    provider = Provider(Source("first"), *(Source(f"new {number}") for number in range(6)))
    shared = SharedCredentials(provider)
    asyncio.run(shared.get_frozen_credentials())
    provider.sources[0].remaining = -1
    together, found = threading.Barrier(6, timeout=60), []

    async def ask():
        together.wait()
        found.extend(await asyncio.gather(*(shared.get_frozen_credentials() for _ in range(4))))

    threads = [threading.Thread(target=asyncio.run, args=(ask(),)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 24
    assert all(frozen.access_key.startswith("new") for frozen in found)
    assert 2 <= provider.loads <= 7


def test_a_loop_that_stopped_during_a_load_blocks_no_other():
    """The other loop starts a load of its own."""
    provider = Provider(Source("first"))
    shared = SharedCredentials(provider)
    dead = asyncio.new_event_loop()

    async def begin():
        provider.gate = asyncio.Event()
        task = asyncio.ensure_future(shared.get_frozen_credentials())
        while not provider.loads:
            await asyncio.sleep(0)
        return task

    task = dead.run_until_complete(begin())
    provider.gate = None
    assert asyncio.run(shared.get_frozen_credentials()).access_key == "first"
    task.cancel()
    dead.run_until_complete(asyncio.wait({task}))
    dead.close()


def test_after_a_fork_the_values_stay():
    """Only the loads under way belong to the parent."""
    provider = Provider(Source("first"))
    shared = SharedCredentials(provider)
    asyncio.run(shared.get_frozen_credentials())
    shared.forget_after_fork()
    assert (asyncio.run(shared.get_frozen_credentials()).access_key, provider.loads) == ("first", 1)


async def test_only_a_load_that_requests_need_is_waited_for():
    """A renewal of credentials that still work delays no request."""
    provider = Provider(ageing := Source("old"), Source("new"))
    clock = Monotonic()
    shared = SharedCredentials(provider, source=lambda: "a file", monotonic=clock)
    assert shared.waited_for(keep=True) == ""
    provider.gate = asyncio.Event()
    first = asyncio.create_task(shared.get_frozen_credentials())
    await asyncio.sleep(0)
    assert shared.waited_for(keep=False) == "a file"
    provider.gate.set()
    await first
    ageing.remaining, clock.now, provider.gate = 800, RENEWAL_INTERVAL + 1, asyncio.Event()
    renewal = asyncio.create_task(shared.get_frozen_credentials())
    await asyncio.sleep(0)
    assert shared.waited_for(keep=False) == ""
    ageing.remaining = 0
    assert shared.waited_for(keep=False) == "a file"
    provider.gate.set()
    await renewal


@pytest.mark.parametrize(
    ("values", "name"),
    [
        (("AKID\n", "secret", "token"), "access key"),
        (("AKID", "secret\r", "token"), "secret key"),
        (("AKID", "secret", "token\n"), "token"),
        (("AKID", "secret", "tök"), "token"),
    ],
)
async def test_a_value_that_no_header_can_carry_is_named(values, name):
    """It is refused before a request, without the value. Nothing is held."""
    shared = SharedCredentials(Provider(Credentials(*values)), source=lambda: "env")
    with pytest.raises(ConfigurationError, match=f"credentials from env: the {name} holds a character") as caught:
        await shared.get_frozen_credentials()
    assert "AKID" not in str(caught.value)
    assert shared.held is None
