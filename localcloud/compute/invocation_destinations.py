"""Where asynchronous invocations are told: queues, topics, functions, event buses, buckets; and dead-letter queues.

Owns which ARNs may be which, what the function's role must be allowed, and the requests. What is in a record is for
`invocation_records`. Sources: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html,
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-configuring.html
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias
from urllib.parse import quote, urlencode

from localcloud.compute.function import FunctionSpec
from localcloud.compute.invocation_records import Given, Letter
from localcloud.compute.role_calls import CallRefused, RoleCall, RoleCaller
from localcloud.services.contract import ACCOUNT_ID
from localcloud.uuids import new_uuid

__all__ = ["DEAD_LETTERS", "ON_FAILURE", "ON_SUCCESS", "RoleOutlets", "find_missing", "service_of"]

_NEEDED: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "sqs": (("sqs:SendMessage", "SendMessage on SQS"),),
    "sns": (("sns:Publish", "Publish on SNS"),),
    "lambda": (("lambda:InvokeFunction", "InvokeFunction on Lambda"),),
    "events": (("events:PutEvents", "PutEvents on EventBridge"),),
    "s3": (("s3:PutObject", "PutObject on S3"), ("s3:ListBucket", "ListBucket on S3")),
}
DEAD_LETTERS: Final = frozenset({"sqs", "sns"})
ON_SUCCESS: Final = frozenset({"sqs", "sns", "lambda", "events"})
ON_FAILURE: Final = ON_SUCCESS | {"s3"}
_Attributes: TypeAlias = Mapping[str, tuple[str, str]]
_DETAIL: Final = "Lambda Function Invocation Result - "


def service_of(arn: str, allowed: frozenset[str]) -> str:
    """The service of an ARN that may be a destination of the kind; "" where it may not. FIFO ones never may."""
    service = arn.split(":")[2] if arn.startswith("arn:") and arn.count(":") >= 5 else ""
    return "" if service not in allowed or arn.endswith(".fifo") else service


def find_missing(arn: str, role_arn: str, may_do: Callable[[str, str, str], bool]) -> str:
    """What the role may not do and has to, as Lambda says it (`SendMessage on SQS`); "" where nothing is missing."""
    for action, said in _NEEDED[arn.split(":")[2]]:
        resource = f"{arn}/*" if action == "s3:PutObject" else arn
        if not may_do(role_arn, action, resource):
            return said
    return ""


class RoleOutlets:
    """`Outlets` over calls by the function's role. Both raise CallRefused, and LookupError where the role is gone."""

    def __init__(self, caller: RoleCaller, *, rng: random.Random) -> None:
        self._caller = caller
        self._rng = rng

    async def send_record(self, arn: str, record: bytes, *, spec: FunctionSpec, given: Given) -> None:
        """Tell a destination of an event."""
        service, trace = service_of(arn, ON_FAILURE), given.trace_header
        if service == "sqs":
            await self._send_message(arn, spec, record.decode(), trace=trace)
        elif service == "sns":
            await self._publish(arn, spec, record.decode(), trace=trace)
        elif service == "lambda":
            headers = {"content-type": "application/json", "x-amz-invocation-type": "Event", **_traced(trace)}
            path = f"/2015-03-31/functions/{quote(arn, safe='')}/invocations"
            await self._call(arn, spec, headers=headers, body=record, path=path)
        elif service == "events":
            await self._put_event(arn, spec, record, given=given)
        elif service == "s3":
            await self._put_object(arn, spec, record, given=given)
        else:
            raise CallRefused(f"{arn} may be no destination")

    async def send_letter(self, arn: str, letter: Letter, *, spec: FunctionSpec) -> None:
        """Put an event into the dead-letter queue or topic."""
        attributes = {
            "RequestID": ("String", letter.request_id),
            "ErrorCode": ("Number", letter.error_code),
            "ErrorMessage": ("String", letter.error_message),
        }
        service = service_of(arn, DEAD_LETTERS)
        if service == "sqs":
            await self._send_message(arn, spec, letter.body, trace=letter.trace_header, attributes=attributes)
        elif service == "sns":
            await self._publish(arn, spec, letter.body, trace=letter.trace_header, attributes=attributes)
        else:
            raise CallRefused(f"{arn} may be no dead-letter queue")

    async def _send_message(
        self, arn: str, spec: FunctionSpec, text: str, *, trace: str, attributes: _Attributes | None = None
    ) -> None:
        message: dict[str, Any] = {"QueueUrl": f"http://localhost/{ACCOUNT_ID}/{arn.rpartition(':')[2]}"}
        message["MessageBody"] = text
        message["MessageAttributes"] = {
            name: {"DataType": kind, "StringValue": value} for name, (kind, value) in (attributes or {}).items()
        }
        headers = {"content-type": "application/x-amz-json-1.0", "x-amz-target": "AmazonSQS.SendMessage"}
        await self._call(arn, spec, headers=headers | _traced(trace), body=json.dumps(message).encode())

    async def _publish(
        self, arn: str, spec: FunctionSpec, text: str, *, trace: str, attributes: _Attributes | None = None
    ) -> None:
        form = {"Action": "Publish", "Version": "2010-03-31", "TopicArn": arn, "Message": text}
        for number, (name, (kind, value)) in enumerate((attributes or {}).items(), start=1):
            place = f"MessageAttributes.entry.{number}"
            form |= {f"{place}.Name": name, f"{place}.Value.DataType": kind, f"{place}.Value.StringValue": value}
        headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
        await self._call(arn, spec, headers=headers | _traced(trace), body=urlencode(form).encode())

    async def _put_event(self, arn: str, spec: FunctionSpec, record: bytes, *, given: Given) -> None:
        entry = {
            "EventBusName": arn,
            "Source": "lambda",
            "DetailType": _DETAIL + ("Success" if given.is_success else "Failure"),
            "Resources": [given.function_arn, arn],
            "Detail": record.decode(),
        }
        headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": "AWSEvents.PutEvents"}
        answer = json.loads(
            await self._call(arn, spec, headers=headers, body=json.dumps({"Entries": [entry]}).encode())
        )
        if answer.get("FailedEntryCount"):
            raise CallRefused(f"{arn} refused the event: {answer['Entries'][0].get('ErrorMessage', '')}")

    async def _put_object(self, arn: str, spec: FunctionSpec, record: bytes, *, given: Given) -> None:
        at = datetime.fromtimestamp(given.at_s, UTC)
        key = f"aws/lambda/async/{spec.name}/{at:%Y/%m/%d}/{at:%Y-%m-%dT%H.%M.%S}-{new_uuid(self._rng)}"
        headers = {
            "host": f"s3.{spec.region}.amazonaws.com",
            "content-type": "application/json",
            "content-length": str(len(record)),
            "x-amz-content-sha256": hashlib.sha256(record).hexdigest(),
            **_traced(given.trace_header),
        }
        path = f"/{arn.rpartition(':')[2]}/{quote(key)}"
        await self._call(arn, spec, method="PUT", path=path, headers=headers, body=record)

    async def _call(  # noqa: PLR0913 - a request's members, all keyword-only but two
        self,
        arn: str,
        spec: FunctionSpec,
        *,
        headers: Mapping[str, str],
        body: bytes,
        method: str = "POST",
        path: str = "/",
    ) -> bytes:
        call = RoleCall(
            arn=arn,
            role_arn=spec.role_arn,
            service=arn.split(":")[2],
            region=arn.split(":")[3] or spec.region,
            headers=headers,
            body=body,
            method=method,
            path=path,
        )
        return await self._caller.make(call)


def _traced(header: str) -> dict[str, str]:
    return {"x-amzn-trace-id": header} if header else {}
