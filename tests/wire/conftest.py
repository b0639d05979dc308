"""Servers, keys and certificates for these tests, and the modules beside them, which are imported by name."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from aiocloudmap.local import LocalCloudMap, Quotas, World

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """The authority that issues the certificates of a test's servers."""
    return trustme.CA()


@pytest.fixture(scope="module")
def bundle(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The authority's certificate, as a CA bundle."""
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture(scope="module")
def certificate(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The files of a client's certificate and of its key."""
    issued, folder = authority.issue_cert("client.example"), tmp_path_factory.mktemp("client")
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    issued.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    return str(folder / "cert.pem"), str(folder / "key.pem")


@pytest.fixture
def local() -> Iterator[LocalCloudMap]:
    """A local Cloud Map in its own thread, without quotas, with one instance of shop/orders."""
    world = World(quotas=Quotas.unlimited())
    world.register("shop/orders", "one", {"QUEUE_URL": "https://queue"})
    with LocalCloudMap(world) as local:
        yield local


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    """The URL of moto's server, which all tests of one file share."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch, environment: None) -> None:
    """Static credentials and a Region."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
