"""The way from a task to a service: through the front, with the machine's role, and what answers mean for the state.

A function's error is the state's error by its own name. Source:
https://docs.aws.amazon.com/step-functions/latest/dg/integrate-optimized.html
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol, cast

from localcloud.json_text import MalformedJson, parse_json
from localcloud.services.contract import Dispatch, NoAnswer, WireRequest, WireResponse
from localcloud.services.states.data import write_json
from localcloud.services.states.failures import PERMISSIONS, RUNTIME, TASK_FAILED, StateFailure
from localcloud.services.states.flow import Run
from localcloud.services.states.task_resource import TaskResource
from localcloud.uuids import new_uuid

__all__ = ["Ended", "Follow", "ServiceCaller"]

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024  # of a service, ours; a state takes 256 KiB, an ItemReader more
_UNKNOWN: Final = "Lambda.Unknown"
_SCHEME: Final = "AWS4-HMAC-SHA256"
_DAY: Final = "20260101"  # of a signature that nobody verifies; S3 answers those who say who they are


@dataclass(frozen=True, slots=True)
class Ended:
    """An execution that has ended. `description`: DescribeExecution of it, in PascalCase."""

    succeeded: bool
    description: Mapping[str, Any]


class Follow(Protocol):
    """Waits for an execution."""

    async def __call__(self, execution_arn: str) -> Ended:
        """Its end; one that is followed no longer is stopped."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceCaller:
    """A `TaskCaller`. `assume`: the access key of a session of a role, LookupError where there is none."""

    dispatch: Dispatch
    assume: Callable[[str], str]
    follow_execution: Follow
    rng: random.Random

    async def call(self, resource: TaskResource, arguments: Any, run: Run) -> Any:
        """What the service answers. Raises StateFailure."""
        if resource.kind == "function":
            given = {"FunctionName": resource.arn, "Payload": arguments}
            return (await self._invoke(resource, given, run))["Payload"]
        if resource.kind == "sdk":
            return (await self._ask(resource, arguments, run))[0]
        if resource.service == "lambda":
            return await self._invoke(resource, arguments, run)
        if resource.service == "events":
            arguments = _with_resources(arguments, run)
        answer, response = await self._ask(resource, arguments, run)
        if answer.get("FailedEntryCount"):
            raise StateFailure("EventBridge.FailedEntry", write_json({"Entries": answer.get("Entries", [])}))
        if resource.service == "states" and isinstance(answer.get("StartDate"), str):
            answer["StartDate"] = int(datetime.fromisoformat(answer["StartDate"]).timestamp() * 1000)
        return {**answer, **_metadata(response)}

    async def follow(self, resource: TaskResource, answer: Any) -> Any:
        """The end of an execution that a `.sync` task started. Raises StateFailure."""
        ended = await self.follow_execution(answer["ExecutionArn"])
        description = dict(ended.description)
        if not ended.succeeded:
            raise StateFailure(TASK_FAILED, write_json(description))
        if resource.pattern == ".sync:2":
            for name in ("Input", "Output"):
                description[name] = _read(str(description[name]))
        return description

    # ------------------------------------------------------------------ the wire

    async def _invoke(self, resource: TaskResource, arguments: Any, run: Run) -> dict[str, Any]:
        """Lambda's answer with the payload as JSON. Raises StateFailure with the function's own error."""
        invoke = TaskResource(resource.arn, "optimised", "lambda", "invoke")
        if isinstance(arguments, dict):
            given = cast("dict[str, Any]", arguments)
            arguments = {**given, "Payload": write_json(given.get("Payload", {}))}
        answer, response = await self._ask(invoke, arguments, run)
        text = str(answer.get("Payload", ""))
        if answer.pop("FunctionError", ""):
            value = _read(text)
            members = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
            raise StateFailure(str(members.get("errorType") or _UNKNOWN), text)
        return {**answer, "Payload": _read(text) if text else "", **_metadata(response)}

    async def _ask(self, resource: TaskResource, arguments: Any, run: Run) -> tuple[dict[str, Any], WireResponse]:
        from localcloud.services.states import sdk  # noqa: PLC0415 - loads botocore, with the first call

        try:
            made = sdk.make_request(resource, arguments)
        except sdk.BadArguments as error:
            message = f"The Parameters '{write_json(arguments)[:1000]}' could not be used to start the Task: [{error}]"
            raise StateFailure(RUNTIME, message, located=False) from error
        response = await self._send(made, run)
        body = await _collect(response.body)
        if response.status >= 300:
            failure = sdk.read_failure(resource, response.status, response.headers, body=body)
            raise StateFailure(failure.error, failure.cause)
        return sdk.read_answer(resource, response.status, response.headers, body=body), response

    async def _send(self, made: Any, run: Run) -> WireResponse:
        try:
            access_key = self.assume(run.role_arn)
        except LookupError as error:
            message = "Neither the global service principal states.amazonaws.com, nor the regional one is authorized "
            raise StateFailure(PERMISSIONS, f"{message}to assume the provided role {run.role_arn}.") from error
        request = WireRequest(
            service=made.service,
            region=run.region,
            method=made.method,
            path=made.path,
            query=made.query,
            headers={
                **made.headers,
                "host": f"{made.host}.{run.region}.amazonaws.com",
                "authorization": f"{_SCHEME} Credential={access_key}/{_DAY}/{run.region}/{made.service}/aws4_request",
            },
            body=made.body,
            access_key=access_key,
            request_id=new_uuid(self.rng),
        )
        try:
            return await self.dispatch(request)
        except NoAnswer as error:
            raise StateFailure("States.TaskFailed", "Unable to execute HTTP request") from error


def _with_resources(arguments: Any, run: Run) -> Any:
    """Entries with the ARNs of execution and machine, as Step Functions adds them."""
    given = cast("dict[str, Any]", arguments) if isinstance(arguments, dict) else {}
    entries = given.get("Entries")
    if not isinstance(entries, list):
        return cast("Any", arguments)
    more = [run.arn, run.facts["StateMachine"]["Id"]]
    made = [
        {**each, "Resources": [*each.get("Resources", []), *more]} for each in cast("list[dict[str, Any]]", entries)
    ]
    return {**given, "Entries": made}


def _metadata(response: WireResponse) -> dict[str, Any]:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return {
        "SdkHttpMetadata": {
            "AllHttpHeaders": {name: [value] for name, value in headers.items()},
            "HttpHeaders": headers,
            "HttpStatusCode": response.status,
        },
        "SdkResponseMetadata": {"RequestId": headers.get("x-amzn-requestid", "")},
    }


async def _collect(body: bytes | AsyncIterator[bytes]) -> bytes:
    if isinstance(body, bytes):
        return body
    chunks = bytearray()
    async for chunk in body:
        chunks += chunk
        if len(chunks) > MAX_ANSWER_BYTES:
            raise StateFailure(TASK_FAILED, "The service's answer is too large")
    return bytes(chunks)


def _read(text: str) -> Any:
    """JSON, or the text where it is none."""
    try:
        return parse_json(text)
    except MalformedJson:
        return text
