"""The way from a schedule to a service: through the front, with the schedule's role, and what a refusal means.

Source: https://docs.aws.amazon.com/scheduler/latest/UserGuide/setting-up.html (the execution role)
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, cast

from localcloud.json_text import MalformedJson, read_json
from localcloud.services.contract import Dispatch, NoAnswer, WireRequest, WireResponse
from localcloud.services.scheduler.delivery import Failed
from localcloud.services.states.task_resource import TaskResource
from localcloud.uuids import new_uuid

__all__ = ["ServiceCaller"]

_SCHEME: Final = "AWS4-HMAC-SHA256"
_DAY: Final = "20260101"  # of a signature that nobody verifies
_PASSING: Final = re.compile(
    r"Throttl|TooManyRequests|ThroughputExceeded|OverLimit|RequestLimitExceeded|SlowDown|Internal|ServiceUnavailable"
)
_XML: Final = re.compile(rb"<Code>(?P<code>[^<]*)</Code>\s*<Message>(?P<message>[^<]*)</Message>")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceCaller:
    """A `CallPort`. `assume`: the access key of a session of a role, LookupError where there can be none."""

    dispatch: Dispatch
    assume: Callable[[str], str]
    rng: random.Random

    async def call(self, call: TaskResource, arguments: Any, *, role_arn: str, region: str) -> None:
        """Call an operation with a role. Raises Failed."""
        from localcloud.services.states import sdk  # noqa: PLC0415 - loads botocore's models, with the first call

        try:
            made = sdk.make_request(call, arguments)
        except sdk.BadArguments as error:
            raise Failed("ValidationException", str(error), retry=False) from error
        try:
            access_key = self.assume(role_arn)
        except LookupError as error:
            message = f"scheduler.amazonaws.com is not authorized to perform: sts:AssumeRole on resource: {role_arn}"
            raise Failed("AccessDeniedException", message, retry=False) from error
        request = WireRequest(
            service=made.service,
            region=region,
            method=made.method,
            path=made.path,
            query=made.query,
            headers={
                **made.headers,
                "host": f"{made.host}.{region}.amazonaws.com",
                "authorization": f"{_SCHEME} Credential={access_key}/{_DAY}/{region}/{made.service}/aws4_request",
            },
            body=made.body,
            access_key=access_key,
            request_id=new_uuid(self.rng),
        )
        try:
            response = await self.dispatch(request)
        except NoAnswer as error:
            raise Failed("InternalServerException", "The service did not answer.", retry=True) from error
        _check(response)


def _check(response: WireResponse) -> None:
    """Raises Failed for an error, and for an entry of PutEvents that was not taken."""
    body = response.body if isinstance(response.body, bytes) else b""
    if response.status >= 300:
        code, message = _read_error(response, body)
        again = response.status == 429 or (response.status >= 500 and response.status != 501)
        raise Failed(code, message, retry=again or bool(_PASSING.search(code)))
    if b'"FailedEntryCount"' in body:
        answer: Mapping[str, Any] = json.loads(body)
        entries = cast("list[Mapping[str, str]]", answer.get("Entries", []))
        for entry in entries if answer.get("FailedEntryCount") else []:
            code = entry.get("ErrorCode", "")
            raise Failed(code, entry.get("ErrorMessage", ""), retry=bool(_PASSING.search(code)))


def _read_error(response: WireResponse, body: bytes) -> tuple[str, str]:
    """Code and message, whichever protocol the service speaks."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    if found := _XML.search(body):
        return found["code"].decode(), found["message"].decode()
    value: object = None
    with suppress(MalformedJson):
        value = read_json(body or b"{}")
    members = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    named = headers.get("x-amzn-query-error", "").partition(";")[0]
    code = named or headers.get("x-amzn-errortype", "") or str(members.get("__type", ""))
    message = str(members.get("message") or members.get("Message") or "")
    return code.rpartition("#")[2].partition(":")[0] or f"HTTP {response.status}", message
