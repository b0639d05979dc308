"""Each exception of botocore, aiohttp and the system, and each of AWS's codes, has its error class."""

from __future__ import annotations

import errno
import socket
import ssl

import aiohttp
import pytest
from botocore import exceptions as botocore_errors
from botocore.exceptions import ClientError
from botocore.retries.standard import ThrottledRetryableChecker

from aiocloudmap import errors
from aiocloudmap.aws.errors import EXCEPTIONS, from_call, from_credentials, from_setup
from aiocloudmap.model.error_codes import CODES
from aiocloudmap.model.query import ServiceName

ORDERS = ServiceName("shop", "orders")
URL = "https://user:TOPSECRET@data-servicediscovery.eu-west-1.amazonaws.com/"


def refusal(code: str, status: int = 400, **metadata: object) -> ClientError:
    """The exception that botocore raises when AWS refuses a call."""
    response = {
        "Error": {"Code": code, "Message": "TOPSECRET"},
        "ResponseMetadata": {"HTTPStatusCode": status, **metadata},
    }
    return ClientError(response, "DiscoverInstances")


def translated(error: Exception) -> errors.CloudMapError:
    """The error of a failed call for shop/orders."""
    return from_call(error, service=ORDERS, region="eu-west-1")


def wrapping(error: Exception) -> botocore_errors.HTTPClientError:
    """botocore's wrapper around an unexpected exception."""
    return botocore_errors.HTTPClientError(error=error)


@pytest.mark.parametrize("code", CODES)
def test_every_code_becomes_the_error_of_its_row(code):
    """With its advice, and with the code if the class has one."""
    meaning = translated(refusal(code))
    assert (type(meaning), meaning.advice, meaning.service) == (CODES[code].kind, CODES[code].advice, str(ORDERS))
    assert getattr(meaning, "code", code) == code
    assert meaning.advice
    assert ("TOPSECRET" in str(meaning)) == (type(meaning) is errors.AccessDeniedError)


def test_codes_that_botocore_retries_as_throttled_are_throttled_errors():
    """Except two codes about single transactions of other services."""
    codes = set(ThrottledRetryableChecker._THROTTLED_ERROR_CODES)
    codes -= {"TransactionInProgressException", "PriorRequestNotComplete"}
    assert {CODES[code].kind for code in codes} == {errors.ThrottledError}


def test_every_status_500_is_unavailable():
    """Whatever its code, unless it means throttling."""
    kinds = {type(translated(refusal(code, 500))) for code in CODES if CODES[code].kind is not errors.ThrottledError}
    assert kinds == {errors.UnavailableError}


def test_the_message_counts_the_attempts():
    """If botocore tried again."""
    assert "after 3 attempts" in str(translated(refusal("RequestLimitExceeded", RetryAttempts=2)))


def test_not_found_names_the_region():
    """The wrong Region is the most common cause."""
    assert "in eu-west-1" in str(translated(refusal("ServiceNotFound")))


def test_namespace_not_found_names_four_possible_causes():
    """Not in this Region, another HttpName, another account, too new."""
    message = str(translated(refusal("NamespaceNotFound")))
    assert all(cause in message for cause in ("account and Region", "HttpName", "owner_account", "takes a moment"))


@pytest.mark.parametrize("response", [{}, {"Error": None}, {"Error": {"Code": None}}, {"Error": {"Code": 7}}])
def test_a_refusal_without_a_code_is_a_request_error(response):
    """An incomplete answer must not end in an error of Python's own."""
    error = ClientError({}, "X")
    error.response = {"Error": {}} | response
    assert type(translated(error)) is errors.RequestError


EXPECTED = [
    (botocore_errors.EndpointConnectionError(endpoint_url=URL), errors.ConnectError),
    (botocore_errors.ConnectTimeoutError(endpoint_url=URL), errors.ConnectError),
    (botocore_errors.ReadTimeoutError(endpoint_url=URL), errors.DeadlineError),
    (botocore_errors.ConnectionClosedError(endpoint_url=URL), errors.ConnectError),
    (
        botocore_errors.ConnectionClosedError(endpoint_url=URL, error=aiohttp.ClientPayloadError()),
        errors.ProtocolError,
    ),
    (botocore_errors.SSLError(endpoint_url=URL, error="x"), errors.ConnectError),
    (botocore_errors.ProxyConnectionError(proxy_url=URL), errors.ConnectError),
    (botocore_errors.InvalidProxiesConfigError(), errors.ConfigurationError),
    (botocore_errors.ResponseStreamingError(error="x"), errors.ConnectError),
    (wrapping(RuntimeError("Event loop is closed")), errors.ConnectError),
    (wrapping(AssertionError()), errors.ConnectError),
    (wrapping(ssl.SSLError("x")), errors.ConnectError),
    (wrapping(aiohttp.InvalidURL("x")), errors.ConfigurationError),
    (wrapping(FileNotFoundError(errno.ENOENT, "x")), errors.ConfigurationError),
    (wrapping(aiohttp.ServerDisconnectedError()), errors.ConnectError),
    (AssertionError(), errors.ConnectError),
    (aiohttp.ClientConnectionError("Connector is closed"), errors.ConnectError),
    (ConnectionResetError(), errors.ConnectError),
    (TimeoutError(), errors.DeadlineError),
    (botocore_errors.NoRegionError(), errors.ConfigurationError),
    (botocore_errors.NoCredentialsError(), errors.ConfigurationError),
    (botocore_errors.PartialCredentialsError(provider="env", cred_var="x"), errors.ConfigurationError),
    (botocore_errors.ProfileNotFound(profile="x"), errors.ConfigurationError),
    (botocore_errors.ConfigParseError(path="x"), errors.ConfigurationError),
    (botocore_errors.UnknownServiceError(service_name="x", known_service_names="y"), errors.ConfigurationError),
    (botocore_errors.EndpointProviderError(msg="x"), errors.ConfigurationError),
    (botocore_errors.EndpointVariantError(tags="x"), errors.ConfigurationError),
    (botocore_errors.InvalidRegionError(region_name="x y"), errors.ConfigurationError),
    (botocore_errors.ParamValidationError(report="TOPSECRET"), errors.InvalidRequestError),
    (botocore_errors.UnauthorizedSSOTokenError(), errors.CredentialsError),
    (botocore_errors.TokenRetrievalError(provider="sso", error_msg="TOPSECRET"), errors.CredentialsError),
    (botocore_errors.CredentialRetrievalError(provider="x", error_msg="TOPSECRET"), errors.CredentialsError),
    (botocore_errors.MetadataRetrievalError(error_msg="TOPSECRET"), errors.CredentialsError),
    (botocore_errors.IncompleteReadError(actual_bytes=1, expected_bytes=2), errors.ProtocolError),
    (botocore_errors.BotoCoreError(), errors.UnavailableError),
    (AttributeError("'str' object has no attribute 'get'"), errors.ProtocolError),
    (UnicodeDecodeError("utf-8", b"x", 0, 1, "x"), errors.ProtocolError),
    (KeyError("Instances"), errors.ProtocolError),
]


@pytest.mark.parametrize(("error", "kind"), EXPECTED, ids=[f"{error!r:.60}" for error, _ in EXPECTED])
def test_each_exception_has_its_class(error, kind):
    """And nothing secret is in the message."""
    meaning = translated(error)
    assert (type(meaning), meaning.service) == (kind, str(ORDERS))
    assert "TOPSECRET" not in str(meaning)


def test_the_message_names_the_endpoint_and_the_reason():
    """Both help in a log."""
    error = botocore_errors.EndpointConnectionError(endpoint_url=URL)
    error.__cause__ = ConnectionRefusedError(errno.ECONNREFUSED, "refused")
    assert "(data-servicediscovery.eu-west-1.amazonaws.com, ECONNREFUSED)" in str(translated(error))


def test_an_unresolved_host_name_is_in_the_message():
    """The resolver's error numbers are not the system's."""
    error = botocore_errors.EndpointConnectionError(endpoint_url=URL)
    error.__cause__ = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    assert "Name or service not known" in str(translated(error))


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
@pytest.mark.parametrize("translate", [translated, from_setup, from_credentials])
def test_too_many_open_files_is_found_in_any_wrapper(number, translate):
    """botocore only reports a connection error."""
    error = botocore_errors.EndpointConnectionError(endpoint_url=URL, error=wrapping(OSError(number, "x")))
    assert type(translate(error)) is errors.TooManyOpenFilesError


def test_a_library_error_stays_as_it_is():
    """Only a missing service is filled in."""
    own = errors.ConnectionLimitError("16 of 16 connections are in use")
    assert translated(own) is own
    assert own.service == str(ORDERS)


def test_a_library_error_that_botocore_wrapped_is_found():
    """It is a new exception, so it can be raised from the wrapper."""
    own = errors.ConnectionLimitError("16 of 16 connections are in use")
    meaning = translated(wrapping(own))
    assert (type(meaning), meaning.what, meaning is own) == (errors.ConnectionLimitError, own.what, False)


def test_a_cycle_of_causes_ends():
    """Each error is visited once."""
    first, second = ValueError(), KeyError()
    first.__cause__, second.__cause__ = second, first
    assert type(translated(first)) is errors.ProtocolError


def test_text_from_outside_is_made_harmless():
    """One line, printable, short."""
    response = {"Error": {"Code": "AccessDenied", "Message": "no\x1b[31m\n" + "x" * 900}, "ResponseMetadata": {}}
    message = str(translated(ClientError(response, "X")))
    assert message.isprintable()
    assert len(message) < 800


@pytest.mark.parametrize(
    "error",
    [
        TypeError("unexpected keyword"),
        ValueError("Invalid endpoint: x"),
        botocore_errors.ParamValidationError(report="x"),
        botocore_errors.InvalidRetryModeError(provided_retry_mode="x", valid_modes=[]),
        botocore_errors.UnknownServiceError(service_name="x", known_service_names="y"),
    ],
)
def test_a_client_that_cannot_be_made_is_a_configuration_error(error):
    """Whatever botocore raises."""
    assert type(from_setup(error)) is errors.ConfigurationError


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (KeyError("AccessKeyId"), errors.CredentialsError),
        (TimeoutError(), errors.CredentialsError),
        (FileNotFoundError(errno.ENOENT, "x"), errors.CredentialsError),
        (botocore_errors.EndpointConnectionError(endpoint_url=URL), errors.CredentialsError),
        (refusal("AccessDenied"), errors.CredentialsError),
        (botocore_errors.InvalidConfigError(error_msg="x"), errors.ConfigurationError),
        (botocore_errors.SSOTokenLoadError(error_msg="x"), errors.CredentialsError),
    ],
)
def test_credentials_that_cannot_be_loaded_are_usually_an_outage(error, kind):
    """A ConfigurationError only if botocore reports a wrong setting."""
    meaning = from_credentials(error)
    assert type(meaning) is kind
    assert "TOPSECRET" not in str(meaning)


def test_every_row_can_be_reached():
    """An exception listed twice, or after its base class, would never be used."""
    seen: list[type[Exception]] = []
    for kinds, _ in EXCEPTIONS:
        for kind in kinds:
            assert not any(issubclass(kind, earlier) for earlier in seen), kind
            seen.append(kind)


def test_an_unknown_client_argument_is_named():
    """Python's message does not contain the value."""
    error = from_setup(TypeError("create_client() got an unexpected keyword argument 'foo'"))
    assert type(error) is errors.ConfigurationError
    assert "unexpected keyword argument 'foo'" in str(error)


def test_the_text_of_other_errors_is_not_in_the_message():
    """It may quote the value, which may be a key."""
    assert "hunter2" not in str(from_setup(ValueError("hunter2 is invalid")))


def test_an_answer_nested_too_deeply_is_a_protocol_error():
    """botocore wraps every exception of its parser as a connection error."""
    assert type(translated(wrapping(RecursionError("maximum recursion depth exceeded")))) is errors.ProtocolError
