"""TLS settings from botocore's arguments, and when contexts are rebuilt."""

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
def test_only_false_disables_the_checks(verify, expected):
    """An empty AWS_CA_BUNDLE does not."""
    assert TlsSettings.of(verify).verify == expected


def test_the_environment_is_read_as_botocore_reads_it(monkeypatch):
    """AWS_CA_BUNDLE, then REQUESTS_CA_BUNDLE, then botocore's own authorities."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/requests.pem")
    assert TlsSettings.from_env().verify == "/requests.pem"
    monkeypatch.setenv("AWS_CA_BUNDLE", "/aws.pem")
    assert TlsSettings.from_env().verify == "/aws.pem"
    monkeypatch.delenv("AWS_CA_BUNDLE")
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    assert TlsSettings.from_env() == TlsSettings()


def test_equal_arguments_are_equal_settings():
    """Whatever their types, so they share a connector."""
    assert TlsSettings.of(True, ["c", "k"]) == TlsSettings.of(None, ("c", "k"))
    assert TlsSettings.of(client_cert="c").client_cert == "c"
    assert TlsSettings.of(proxies_config={"proxy_client_cert": ("c", "k")}).proxy_client_cert == ("c", "k")


def test_host_names_are_checked_unless_verify_is_false():
    """By the context, because aiohttp leaves the check to it."""
    contexts = TlsSettings().contexts()
    for context in (contexts.endpoint, contexts.proxy):
        assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
    unchecked = TlsSettings(verify=False).contexts().endpoint
    assert (unchecked.check_hostname, unchecked.verify_mode) == (False, ssl.CERT_NONE)


def test_contexts_are_kept_until_a_file_changes(tmp_path):
    """A rotated bundle is read; an unchanged one is not read again."""
    path, cache = tmp_path / "ca.pem", ContextCache()
    trustme.CA().cert_pem.write_to_path(str(path))
    settings = TlsSettings(verify=str(path))
    first = cache.get(settings)
    assert cache.get(TlsSettings(verify=str(path))) is first
    path.write_bytes(path.read_bytes() + trustme.CA().cert_pem.bytes())
    assert cache.get(settings) is not first


def test_at_most_eight_contexts_are_kept(tmp_path):
    """The oldest is dropped."""
    path, cache = tmp_path / "ca.pem", ContextCache()
    trustme.CA().cert_pem.write_to_path(str(path))
    first = cache.get(TlsSettings(verify=str(path)))
    for number in range(8):
        cache.get(
            TlsSettings(verify=False, proxy_ca_bundle=None, client_cert=None) if not number else _other(number, path)
        )
    assert cache.get(TlsSettings(verify=str(path))) is not first


def test_endpoint_and_proxy_share_a_context_if_settings_are_equal(tmp_path):
    """So the authorities are read once. A client certificate is never shown to a proxy."""
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


def test_a_directory_of_authorities_is_accepted(tmp_path):
    """With files named by hash, as OpenSSL expects."""
    assert TlsSettings(verify=str(tmp_path)).contexts().endpoint.verify_mode == ssl.CERT_REQUIRED


def test_an_encrypted_key_does_not_prompt_for_its_password(tmp_path):
    """It raises a ConfigurationError instead."""
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
