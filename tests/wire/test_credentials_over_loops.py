"""Credentials from every network source, loaded on one event loop after another.

botocore's sessions, locks and clients for them are bound to a loop, so no two loops may use the same one.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import json
import re
import threading
from typing import NamedTuple

import pytest
from canned_server import CannedServer, Reply, Request, found

from aiocloudmap import CloudMap, ConnectionPolicy, CredentialsError

POLICY = ConnectionPolicy(connect_timeout=60, read_timeout=60, discovery_timeout=60)
ROLE = "arn:aws:iam::123456789012:role/shop"


class Source(NamedTuple):
    """A source of keys that returns new ones each time."""

    server: CannedServer

    @property
    def loads(self) -> int:
        return len(self.server.requests)


def end() -> dt.datetime:
    return dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)


def assumed(request: Request) -> Reply:
    """The answer of STS to the operation that the body names."""
    operation = re.search(rb"Action=(\w+)", request.body).group(1).decode()
    body = (
        f"<{operation}Response><{operation}Result><Credentials><AccessKeyId>{next_key()}</AccessKeyId>"
        f"<SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>{end():%Y-%m-%dT%H:%M:%SZ}"
        f"</Expiration></Credentials><AssumedRoleUser><Arn>{ROLE}/s</Arn><AssumedRoleId>A:s</AssumedRoleId>"
        f"</AssumedRoleUser></{operation}Result></{operation}Response>"
    )
    return Reply(200, body.encode())


def contained(request: Request) -> Reply:
    """The answer of a container's credentials endpoint."""
    return Reply.json(
        {"AccessKeyId": next_key(), "SecretAccessKey": "s", "Token": "t", "Expiration": f"{end():%Y-%m-%dT%H:%M:%SZ}"}
    )


def signed_in(request: Request) -> Reply:
    """The answer of a single sign-on portal to the cached token."""
    if request.headers.get("X-Amz-Sso_bearer_token", request.headers.get("x-amz-sso_bearer_token")) != "cached-token":
        return Reply.json({"message": "Session token not found or invalid"}, 401)
    keys = {"accessKeyId": next_key(), "secretAccessKey": "s", "sessionToken": "t"}
    return Reply.json({"roleCredentials": {**keys, "expiration": int(end().timestamp() * 1000)}})


_numbers = iter(range(10**9))


def next_key() -> str:
    return f"AKID{next(_numbers)}"


@pytest.fixture(params=["assume role", "web identity", "container", "single sign-on", "old single sign-on"])
def source(request, monkeypatch, tmp_path):
    """A source that has not been used yet."""
    config, kind = tmp_path / "config", request.param
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    answers = {"container": contained}.get(kind, signed_in if "sign-on" in kind else assumed)
    with CannedServer(answers) as server:
        if kind == "assume role":
            keys = "[base]\naws_access_key_id=AKIDBASE\naws_secret_access_key=s\n"
            (tmp_path / "credentials").write_text(keys)
            monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
            config.write_text(f"[default]\nrole_arn={ROLE}\nsource_profile=base\n")
            monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.url)
        elif kind == "web identity":
            (tmp_path / "token").write_text("web-token")
            monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
            monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
            monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.url)
        elif kind == "container":
            monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", server.url)
        else:
            single_sign_on(monkeypatch, tmp_path, server.url, with_session=kind == "single sign-on")
        yield Source(server)


def single_sign_on(monkeypatch, folder, portal: str, *, with_session: bool) -> None:
    """Write a profile, and the token that `aws sso login` would leave."""
    start, common = "https://shop.awsapps.com/start", "sso_account_id=123456789012\nsso_role_name=shop\n"
    where = f"sso_region=eu-west-1\nsso_start_url={start}\n"
    profile = f"[default]\n{common}" + ("sso_session=shop\n[sso-session shop]\n" if with_session else "") + where
    (folder / "config").write_text(profile)
    token = {"startUrl": start, "region": "eu-west-1", "accessToken": "cached-token", "expiresAt": f"{end():%FT%TZ}"}
    name = hashlib.sha1(("shop" if with_session else start).encode(), usedforsecurity=False).hexdigest()
    (folder / f"{name}.json").write_text(json.dumps(token))
    for holder in ("botocore.tokens.SSOTokenProvider", "botocore.credentials.SSOProvider"):
        monkeypatch.setattr(f"{holder}._SSO_TOKEN_CACHE_DIR", str(folder))
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", portal)


@pytest.fixture
def cloud():
    """A Cloud Map that accepts any credentials."""
    with CannedServer(found("orders-1")) as server:
        yield server


def keys_of(cloud: CannedServer) -> list[str]:
    return [re.search(r"Credential=([^/]+)/", request.headers["Authorization"]).group(1) for request in cloud.requests]


async def four_calls(cloud_map: CloudMap) -> None:
    """Resolve four services at once, so that four calls are signed."""
    await asyncio.gather(*(cloud_map.service(f"shop/orders-{number}").resolve(max_age=0) for number in range(4)))


def test_credentials_are_loaded_once_for_all_loops(source, cloud):
    """Later loops use the held ones."""
    cloud_map = CloudMap(endpoint_url=cloud.url, connections=POLICY)
    for _ in range(3):
        asyncio.run(four_calls(cloud_map))
    assert (source.loads, len(set(keys_of(cloud))), len(cloud.requests)) == (1, 1, 12)


def test_dropped_credentials_are_loaded_again_on_another_loop(source, cloud):
    """They are dropped after a restored snapshot, or if AWS rejects them."""
    cloud_map = CloudMap(endpoint_url=cloud.url, connections=POLICY)
    for _ in range(3):
        asyncio.run(four_calls(cloud_map))
        asyncio.run(cloud_map._engine.aws()).drop_credentials()
    keys = keys_of(cloud)
    assert (source.loads, len(keys)) == (3, 12)
    assert [len(set(keys[first : first + 4])) for first in (0, 4, 8)] == [1, 1, 1]
    assert len(set(keys)) == 3


def test_several_threads_load_credentials_at_once(source, cloud):
    """Each loop loads by itself, and every call is signed."""
    cloud_map, together, failures = CloudMap(endpoint_url=cloud.url, connections=POLICY), threading.Barrier(3), []

    async def run_calls() -> None:
        for _ in range(2):
            together.wait(60)
            (await cloud_map._engine.aws()).drop_credentials()
            await four_calls(cloud_map)

    def run() -> None:
        try:
            asyncio.run(run_calls())
        except BaseException as error:
            failures.append(error)
            together.abort()

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(cloud.requests) == 24


def test_a_failed_source_is_used_again_on_the_next_loop(source, cloud):
    """The failure is not remembered."""
    good = source.server.replies[0]
    source.server.replies[:] = [lambda request: Reply(403, b'{"message": "no"}')]
    cloud_map = CloudMap(endpoint_url=cloud.url, connections=POLICY)

    async def fail() -> None:
        with pytest.raises(CredentialsError) as caught:
            await cloud_map.service("shop/orders").resolve(max_age=0)
        assert "cached-token" not in f"{caught.value} {vars(caught.value)}"
        assert "web-token" not in f"{caught.value} {vars(caught.value)}"

    asyncio.run(fail())
    source.server.replies[:] = [good]
    asyncio.run(four_calls(cloud_map))
    assert len(set(keys_of(cloud))) == 1
