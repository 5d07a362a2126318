"""One invocation as `next` gives it, and the context object that a handler gets as its second argument.

Source: https://docs.aws.amazon.com/lambda/latest/dg/python-context.html and the headers of `next` in
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html#runtimes-api-next
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from sluiceway.runtime.faults import RuntimeFault

__all__ = ["CURRENT", "Call", "LambdaContext", "read_call"]

W3C_FIELDS: Final = ("traceparent", "tracestate", "baggage")


class Call(NamedTuple):
    """One invocation, as it came. `deadline_ms` is epoch milliseconds; what was not sent is ""."""

    request_id: str
    payload: bytes
    deadline_ms: int
    content_type: str = ""
    function_arn: str = ""
    trace_header: str = ""
    client_context: str = ""
    cognito_identity: str = ""
    tenant_id: str = ""
    invocation_id: str = ""


def read_call(headers: Mapping[str, str], payload: bytes) -> Call:
    """The invocation in a reply to `next`; `headers` have lower-case names. Raises: ValueError where it is none."""
    deadline = headers.get("lambda-runtime-deadline-ms", "")
    request_id = headers.get("lambda-runtime-aws-request-id", "")
    if not request_id or not deadline.isdecimal():
        raise ValueError("an invocation without its request id or its deadline")
    return Call(
        request_id=request_id,
        payload=payload,
        deadline_ms=int(deadline),
        content_type=headers.get("content-type", ""),
        function_arn=headers.get("lambda-runtime-invoked-function-arn", ""),
        trace_header=headers.get("lambda-runtime-trace-id", ""),
        client_context=_as_text(headers.get("lambda-runtime-client-context", "")),
        cognito_identity=_as_text(headers.get("lambda-runtime-cognito-identity", "")),
        tenant_id=headers.get("lambda-runtime-aws-tenant-id", ""),
        invocation_id=headers.get("lambda-runtime-invocation-id", ""),
    )


def _as_text(value: str) -> str:
    """A header's bytes are UTF-8 here; the parser of replies knows no encoding."""
    return value if value.isascii() else value.encode("latin-1").decode("utf-8", "replace")


class _Record:
    """Attributes from an object of JSON, None where it has no such member."""

    __slots__: tuple[str, ...] = ()

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> object: ...

    def __init__(self, members: Mapping[str, object]) -> None:
        for name in self.__slots__:
            setattr(self, name, members.get(name))

    def __repr__(self) -> str:
        shown = ",".join(f"{name}={getattr(self, name)}" for name in self.__slots__)
        return f"{type(self).__name__}([{shown}])"


class Client(_Record):
    """The mobile application that invoked."""

    __slots__ = ("app_package_name", "app_title", "app_version_code", "app_version_name", "installation_id")


class ClientContext(_Record):
    """What the client sent along: `client`, `custom`, `env`."""

    __slots__ = ("client", "custom", "env")


class CognitoIdentity(_Record):
    """The Cognito identity that authorized the request; both None where there was none."""

    __slots__ = ("cognito_identity_id", "cognito_identity_pool_id")


class LambdaContext:
    """The handler's second argument, with the attributes and methods of the managed runtime's.

    `environ` is the process's. Raises: RuntimeFault where a header is not its JSON.
    """

    def __init__(self, call: Call, environ: Mapping[str, str]) -> None:
        self.aws_request_id = call.request_id
        self.function_name = environ.get("AWS_LAMBDA_FUNCTION_NAME")
        self.function_version = environ.get("AWS_LAMBDA_FUNCTION_VERSION")
        self.memory_limit_in_mb = environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.log_group_name = environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = environ.get("AWS_LAMBDA_LOG_STREAM_NAME")
        self.invoked_function_arn = call.function_arn or None
        self.tenant_id = call.tenant_id or None
        self.client_context: ClientContext | None = None
        self.identity = CognitoIdentity({})
        self._deadline_ms = call.deadline_ms
        self._w3c: dict[str, str] = {}
        if call.client_context:
            self._take_client(_read_object(call.client_context, "Client Context"))
        if call.cognito_identity:
            identity = _read_object(call.cognito_identity, "Cognito Identity") or {}
            self.identity.cognito_identity_id = identity.get("cognitoIdentityId")
            self.identity.cognito_identity_pool_id = identity.get("cognitoIdentityPoolId")

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda ends the invocation, 0 and more."""
        return max(0, self._deadline_ms - time.time_ns() // 1_000_000)

    def w3c(self) -> dict[str, str]:
        """The W3C trace context that came with the client context: `traceparent`, `tracestate`, `baggage`."""
        return dict(self._w3c)

    def log(self, message: object) -> None:
        """Write `message` to the function's log as it is."""
        for handler in logging.getLogger().handlers:
            sink = getattr(handler, "log_sink", None)
            if sink is not None:
                sink.log(str(message))
                return
        sys.stdout.write(str(message))

    def _take_client(self, members: dict[str, object] | None) -> None:
        if members is None:
            return
        fields = members.pop("w3c", None)
        if isinstance(fields, dict):
            found = {name: cast("dict[str, object]", fields).get(name) for name in W3C_FIELDS}
            self._w3c = {name: value for name, value in found.items() if isinstance(value, str)}
        self.client_context = ClientContext(members)
        client: object = members.get("client")
        if isinstance(client, dict):
            self.client_context.client = Client(cast("dict[str, object]", client))

    def __repr__(self) -> str:
        shown = ("aws_request_id", "log_group_name", "log_stream_name", "function_name", "memory_limit_in_mb")
        shown += ("function_version", "invoked_function_arn", "client_context", "identity", "tenant_id")
        return f"LambdaContext([{','.join(f'{name}={getattr(self, name)}' for name in shown)}])"


CURRENT: ContextVar[LambdaContext | None] = ContextVar("sluiceway_runtime_context", default=None)
"""The context of the invocation that this task serves."""


def _read_object(text: str, name: str) -> dict[str, object] | None:
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError) as cause:
        raise RuntimeFault("Runtime.LambdaContextUnmarshalError", f"Unable to parse {name} JSON: {cause}") from cause
    if found is None or isinstance(found, dict):
        return cast("dict[str, object] | None", found)
    raise RuntimeFault("Runtime.LambdaContextUnmarshalError", f"Unable to parse {name} JSON: it is not an object")
