"""Error answers of every protocol, read as botocore reads them."""

from __future__ import annotations

import botocore.parsers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.aws.reply import SIGNATURE_CODES, Fault, Reply, read_fault
from sluiceway.errors import ConditionFailed, Rejected, Retryable, ServiceMisconfigured, ServiceRefused

XML = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code><Message>The &lt;key&gt; &amp;amp; '
    b"&quot;it&apos;s&quot;</Message><Key>k</Key><RequestId>R-XML</RequestId><HostId>h</HostId></Error>"
)
CASES = {
    "json namespace": (
        "json",
        {},
        b'{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException","message":"m"}',
    ),
    "json bare": ("json", {}, b'{"__type":"ValidationException","Message":"m"}'),
    "rest-json header": (
        "rest-json",
        {"x-amzn-errortype": "ThrottlingException:http://a.example/"},
        b'{"message":"m"}',
    ),
    "rest-json code": ("rest-json", {}, b'{"code":"ModelErrorException","message":"m"}'),
    "rest-xml": ("rest-xml", {}, XML),
}


@pytest.mark.parametrize("name", CASES)
def test_code_and_message_equal_botocores(name):
    """The same code and message, whatever the protocol's way to say them."""
    protocol, headers, body = CASES[name]
    parser = botocore.parsers.create_parser(protocol)
    theirs = parser.parse({"status_code": 400, "headers": headers, "body": body}, None)["Error"]
    fault = read_fault(Reply(400, headers, body))
    assert (fault.code, fault.message) == (theirs["Code"], theirs["Message"])


@pytest.mark.parametrize(
    ("headers", "body", "request_id"),
    [
        ({"x-amzn-requestid": "A"}, b"{}", "A"),
        ({"x-amz-request-id": "B"}, XML, "B"),
        ({}, XML, "R-XML"),
        ({}, b"", ""),
    ],
)
def test_the_request_id_is_found(headers, body, request_id):
    """In whichever header the service puts it, or in S3's body."""
    assert read_fault(Reply(500, headers, body)).request_id == request_id


@pytest.mark.parametrize("body", [b"", b"<html>502</html>", b"upstream broke", b"{broken", b"[1]", b"\xff\xfe"])
def test_a_body_that_is_no_error_document(body):
    """A proxy's page: the status is the code, the text is the message."""
    fault = read_fault(Reply(502, {}, body))
    assert fault.code == "502"
    assert fault.message == body.decode(errors="replace")


@given(
    st.integers(300, 599),
    st.binary(max_size=80) | st.sampled_from([b'{"__type":3}', b'{"message":{}}', b"{}", b'{"Item":1}']),
)
def test_no_answer_breaks_the_reader(status, body):
    """Whatever came is a fault with a code."""
    assert read_fault(Reply(status, {}, body)).code


def test_json_of_a_reply():
    """An empty body is an empty object; a list is nothing a service sends."""
    assert Reply(200, {}, b"").json() == {}
    with pytest.raises(ValueError, match="not a JSON object"):
        Reply(200, {}, b"[]").json()


def test_a_body_without_a_floor_is_no_json():
    """A reply nested deeper than the stack is a wrong reply, not an end of the worker."""
    deep = b'{"a":' * 100_000
    with pytest.raises(ValueError, match="nested too deeply"):
        Reply(200, {}, deep).json()
    assert read_fault(Reply(400, {}, deep)).code == "400"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("AccessDenied", ServiceMisconfigured),
        ("AccessDeniedException", ServiceMisconfigured),
        ("UnrecognizedClientException", ServiceMisconfigured),
        ("InvalidClientTokenId", ServiceMisconfigured),
        ("InvalidAccessKeyId", ServiceMisconfigured),
        ("MissingAuthenticationToken", ServiceMisconfigured),
        ("SignatureDoesNotMatch", ServiceMisconfigured),
        ("ResourceNotFoundException", ServiceMisconfigured),
        ("QueueDoesNotExist", ServiceMisconfigured),
        ("NoSuchBucket", ServiceMisconfigured),
        ("KmsAccessDenied", ServiceMisconfigured),
        ("NotFound", ServiceMisconfigured),  # SNS's words, from here on
        ("AuthorizationError", ServiceMisconfigured),
        ("KMSDisabled", ServiceMisconfigured),
        ("KMSInvalidState", ServiceMisconfigured),
        ("KMSNotFound", ServiceMisconfigured),
        ("KMSAccessDenied", ServiceMisconfigured),
        ("403", ServiceMisconfigured),
        ("ConditionalCheckFailedException", ConditionFailed),
        ("ValidationException", ServiceRefused),
        ("InvalidParameterValueException", ServiceRefused),
        ("InvalidMessageContents", ServiceRefused),
        ("NoSuchKey", ServiceRefused),
        ("EntityTooLarge", ServiceRefused),
        ("404", ServiceRefused),
    ],
)
def test_whose_fault_a_refusal_is(code, kind):
    """Permissions, credentials and resources are the deployment's; conditions, values and keys are the request's."""
    error = Fault(400, code, "said", "R").refusal("sqs", "SendMessage")
    assert type(error) is kind
    assert isinstance(error, Rejected) is (kind is not ServiceMisconfigured)
    assert not isinstance(error, Retryable)
    assert (error.service, error.operation, error.code, error.status, error.request_id) == (
        "sqs",
        "SendMessage",
        code,
        400,
        "R",
    )


@pytest.mark.parametrize("code", sorted(SIGNATURE_CODES))
def test_a_refused_signature_is_not_quoted(code):
    """The service repeats the canonical request, and with it the session token: that is for no log."""
    error = Fault(403, code, "The Canonical String should have been x-amz-security-token:SECRET", "R").refusal(
        "s3", "Get"
    )
    assert str(error) == f"s3 Get: {code} (request R)"
