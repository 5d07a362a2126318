"""runtime.context: the headers of `next`, and the context object beside the managed runtime's own."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

import pytest
from awslambdaric.bootstrap import create_lambda_context
from awslambdaric.lambda_runtime_exception import FaultException
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.runtime.context import Call, LambdaContext, read_call
from sluiceway.runtime.faults import RuntimeFault

ENVIRON = {
    "AWS_LAMBDA_FUNCTION_NAME": "f",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
    "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/f",
    "AWS_LAMBDA_LOG_STREAM_NAME": "2026/11/23/[$LATEST]ab",
}
CALL = Call("r-1", b"{}", 1_000, function_arn="arn")

texts = st.one_of(st.none(), st.text(max_size=8), st.integers())
clients = st.dictionaries(st.sampled_from(["installation_id", "app_title", "app_version_name", "other"]), texts)
traces = st.dictionaries(st.sampled_from(["traceparent", "tracestate", "baggage", "other"]), texts)
contexts = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {},
        optional={
            "client": st.one_of(st.none(), clients),
            "custom": st.dictionaries(st.text(max_size=4), texts),
            "env": st.dictionaries(st.text(max_size=4), texts),
            "w3c": st.one_of(traces, st.none(), st.just("x")),
            "more": texts,
        },
    ),
)
identities = st.one_of(
    st.none(), st.dictionaries(st.sampled_from(["cognitoIdentityId", "cognitoIdentityPoolId", "other"]), texts)
)


def shape(context: Any) -> dict[str, Any]:
    """What a handler can see of it."""
    client_context = context.client_context
    client = client_context.client if client_context is not None else None
    return {
        "plain": {name: getattr(context, name) for name in (
            "aws_request_id", "function_name", "function_version", "memory_limit_in_mb", "log_group_name",
            "log_stream_name", "invoked_function_arn", "tenant_id",
        )},
        "identity": (context.identity.cognito_identity_id, context.identity.cognito_identity_pool_id),
        "custom": client_context and (client_context.custom, client_context.env),
        "client": client and {name: getattr(client, name) for name in type(client).__slots__},
        "w3c": context.w3c(),
        "remaining": context.get_remaining_time_in_millis(),
    }  # fmt: skip


@given(contexts, identities, st.sampled_from(["", "tenant-1"]))
def test_a_context_is_what_the_managed_runtime_makes_of_the_headers(client_context: Any, identity: Any, tenant: str):
    """Every attribute, and what it prints as."""
    sent = json.dumps(client_context), json.dumps(identity)
    call = CALL._replace(client_context=sent[0], cognito_identity=sent[1], tenant_id=tenant)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRON.items():
            patch.setenv(name, value)
        official = create_lambda_context(*sent, 1_000, "r-1", "arn", tenant or None)
    ours = LambdaContext(call, ENVIRON)
    assert shape(ours) == shape(official)
    if client_context is None:
        assert repr(ours) == repr(official)


@pytest.mark.parametrize("name", ["client_context", "cognito_identity"])
def test_a_header_that_is_no_json_is_the_managed_runtimes_fault(name: str):
    """Same type, same message up to the decoder's own words."""
    with pytest.raises(RuntimeFault, match=r"Unable to parse C.* JSON: Expecting") as caught:
        LambdaContext(CALL._replace(**{name: "{nonsense"}), ENVIRON)
    with pytest.raises(FaultException) as official:
        create_lambda_context(*(("{nonsense", "") if name == "client_context" else ("", "{nonsense")), 1, "r", "a", "t")
    assert caught.value.kind == official.value.exception_type == "Runtime.LambdaContextUnmarshalError"


def test_remaining_time_counts_down_to_zero_and_stays():
    """From the deadline that `next` gave."""
    soon = LambdaContext(CALL._replace(deadline_ms=time.time_ns() // 1_000_000 + 10_000), ENVIRON)
    assert 9_000 < soon.get_remaining_time_in_millis() <= 10_000
    assert LambdaContext(CALL, ENVIRON).get_remaining_time_in_millis() == 0


def test_log_writes_to_the_sink_of_the_runtimes_handler(capsys: pytest.CaptureFixture[str]):
    """Or to standard output where there is none."""
    written: list[str] = []

    class Sink(logging.NullHandler):
        log_sink = type("S", (), {"log": staticmethod(written.append)})

    context = LambdaContext(CALL, ENVIRON)
    context.log("plain")
    handler = Sink()
    logging.getLogger().addHandler(handler)
    try:
        context.log({"a": 1})
    finally:
        logging.getLogger().removeHandler(handler)
    assert (capsys.readouterr().out, written) == ("plain", ["{'a': 1}"])


def test_every_header_of_next_is_read():
    """By the names of the documentation, and the two that only the runtimes know."""
    headers = {
        "content-type": "application/json",
        "lambda-runtime-aws-request-id": "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
        "lambda-runtime-deadline-ms": "1542409706888",
        "lambda-runtime-invoked-function-arn": "arn:aws:lambda:us-east-2:123456789012:function:custom-runtime",
        "lambda-runtime-trace-id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1",
        "lambda-runtime-client-context": '{"custom":{"a":"ä"}}'.encode().decode("latin-1"),
        "lambda-runtime-cognito-identity": "{}",
        "lambda-runtime-aws-tenant-id": "t-1",
        "lambda-runtime-invocation-id": "i-1",
    }
    assert read_call(headers, b"[]") == Call(
        request_id="8476a536-e9f4-11e8-9739-2dfe598c3fcd",
        payload=b"[]",
        deadline_ms=1542409706888,
        content_type="application/json",
        function_arn="arn:aws:lambda:us-east-2:123456789012:function:custom-runtime",
        trace_header="Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1",
        client_context='{"custom":{"a":"ä"}}',
        cognito_identity="{}",
        tenant_id="t-1",
        invocation_id="i-1",
    )


@pytest.mark.parametrize("missing", ["lambda-runtime-aws-request-id", "lambda-runtime-deadline-ms"])
def test_an_invocation_needs_its_id_and_its_deadline(missing: str):
    """Without them it is no invocation."""
    headers = {"lambda-runtime-aws-request-id": "r", "lambda-runtime-deadline-ms": "1"}
    with pytest.raises(ValueError, match="request id"):
        read_call({**headers, missing: ""}, b"")
