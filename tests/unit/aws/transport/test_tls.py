"""What botocore's arguments mean, and when a context is built anew."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme

from aiocloudmap.aws.transport.tls import ContextCache, TlsSettings
from aiocloudmap.errors import ConfigurationError


@pytest.mark.parametrize(
    ("verify", "expected"),
    [(None, True), (True, True), ("", True), (False, False), ("/ca.pem", "/ca.pem"), (Path("/ca.pem"), "/ca.pem")],
)
def test_only_a_plain_false_turns_the_checks_off(verify, expected):
    """An empty AWS_CA_BUNDLE does not."""
    assert TlsSettings.of(verify).verify == expected


def test_the_environment_is_read_as_botocore_reads_it(monkeypatch):
    """AWS_CA_BUNDLE before REQUESTS_CA_BUNDLE before botocore's own."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/requests.pem")
    assert TlsSettings.from_env().verify == "/requests.pem"
    monkeypatch.setenv("AWS_CA_BUNDLE", "/aws.pem")
    assert TlsSettings.from_env().verify == "/aws.pem"
    monkeypatch.delenv("AWS_CA_BUNDLE")
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    assert TlsSettings.from_env() == TlsSettings()


def test_equal_arguments_are_equal_settings():
    """Whatever their types, so that they share a connector."""
    assert TlsSettings.of(True, ["c", "k"]) == TlsSettings.of(None, ("c", "k"))
    assert TlsSettings.of(client_cert="c").client_cert == "c"
    assert TlsSettings.of(proxies_config={"proxy_client_cert": ("c", "k")}).proxy_client_cert == ("c", "k")


def test_names_are_checked_unless_nothing_is():
    """The context itself does it, since aiohttp leaves it there."""
    contexts = TlsSettings().contexts()
    for context in (contexts.endpoint, contexts.proxy):
        assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
    unchecked = TlsSettings(verify=False).contexts().endpoint
    assert (unchecked.check_hostname, unchecked.verify_mode) == (False, ssl.CERT_NONE)


def test_contexts_are_kept_until_a_file_changes(tmp_path):
    """A rotated bundle is read; the same one is not read again."""
    path, cache = tmp_path / "ca.pem", ContextCache()
    trustme.CA().cert_pem.write_to_path(str(path))
    settings = TlsSettings(verify=str(path))
    first = cache.get(settings)
    assert cache.get(TlsSettings(verify=str(path))) is first
    path.write_bytes(path.read_bytes() + trustme.CA().cert_pem.bytes())
    assert cache.get(settings) is not first


def test_few_contexts_are_kept(tmp_path):
    """The oldest goes."""
    path, cache = tmp_path / "ca.pem", ContextCache()
    trustme.CA().cert_pem.write_to_path(str(path))
    first = cache.get(TlsSettings(verify=str(path)))
    for number in range(8):
        cache.get(
            TlsSettings(verify=False, proxy_ca_bundle=None, client_cert=None) if not number else _other(number, path)
        )
    assert cache.get(TlsSettings(verify=str(path))) is not first


def test_the_authorities_are_read_once_where_nothing_sets_the_ways_apart(tmp_path):
    """The endpoint's context is the proxy's too, but for one with a certificate, which no proxy is shown."""
    issued = trustme.CA().issue_cert("client.example")
    issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "cert.pem"))
    for settings, same in (
        (TlsSettings(), True),
        (TlsSettings(verify=False), True),
        (TlsSettings(client_cert=str(tmp_path / "cert.pem")), False),
        (TlsSettings(proxy_client_cert=str(tmp_path / "cert.pem")), False),
        (TlsSettings(proxy_ca_bundle=str(tmp_path / "cert.pem")), False),
    ):
        contexts = settings.contexts()
        assert (contexts.endpoint is contexts.proxy) is same


def _other(number: int, path: Path) -> TlsSettings:
    copy = path.with_name(f"{number}.pem")
    copy.write_bytes(path.read_bytes())
    return TlsSettings(verify=str(copy))


def test_a_directory_of_authorities_is_taken(tmp_path):
    """As OpenSSL has them, by hash."""
    assert TlsSettings(verify=str(tmp_path)).contexts().endpoint.verify_mode == ssl.CERT_REQUIRED


def test_a_key_with_a_password_does_not_ask_on_the_terminal(tmp_path):
    """Nobody may sit there."""
    from cryptography.hazmat.primitives import serialization

    issued = trustme.CA().issue_cert("client.example")
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    settings = TlsSettings.of(client_cert=(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")))
    with pytest.raises(ConfigurationError, match="client certificate"):
        settings.contexts()
