"""An API of AWS JSON 1.1 that moto answers: which operations are served, what they need, what is refused before moto.

Owns the envelope and the checks of a request's shape; which operations there are, and what they are asked of, is for
each service to say.
"""

from __future__ import annotations

import asyncio
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias, cast

from localcloud.delegate import Delegate, DelegatedService, DelegateFailed, Then
from localcloud.json_text import MalformedJson, read_json
from localcloud.refusals import refuse
from localcloud.service_shapes import Malformed, open_shapes
from localcloud.services.contract import Permission, WireRequest, WireResponse

__all__ = ["Fault", "Heard", "JsonApi", "JsonDelegate", "Needs", "read_object"]

CONTENT_TYPE: Final = "application/x-amz-json-1.1"
_SDK_WORDS: Final = re.compile(r"^An error occurred \(\w+\) when calling the \w+ operation: ")
MAX_NAME_CHARS: Final = 128  # of an operation that is none, in its refusal

Needs: TypeAlias = Callable[[str, Mapping[str, Any], str], tuple[Permission, ...]]
"""Takes the operation, its members and the Region."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A refusal of the service's own. `status` is 400 for all but a service's failure."""

    code: str
    message: str
    status: int = 400


@dataclass(frozen=True, slots=True)
class Heard:
    """A request that succeeded, and its answer."""

    body: Mapping[str, Any]
    answer: Mapping[str, Any]
    region: str


@dataclass(frozen=True, slots=True)
class JsonApi:
    """One API: its signing name (botocore's name as well), the target's prefix, the operations that are served.

    `blame`: what a request is refused with that makes moto raise; any other error is a request that is not valid.
    """

    name: str
    target: str
    operations: frozenset[str]
    invalid: str = "ValidationException"
    blame: Mapping[type[Exception], Fault] = field(default_factory=dict[type[Exception], Fault])


class JsonDelegate(DelegatedService, ABC):
    """An API over the delegate. Subclasses say what a request needs, and may look at it, and at its answer."""

    def __init__(self, api: JsonApi, delegate: Delegate) -> None:
        super().__init__(api.name, delegate, needs=self._needed)
        self.api = api

    async def handle(self, request: WireRequest) -> WireResponse:
        """Answer one request; API errors are answers."""
        operation = self.operation(request)
        if operation not in self.api.operations:
            named = operation[:MAX_NAME_CHARS] or "(none named)"
            message = f"The local cloud does not serve the operation {named} of {self.name}."
            return refuse(request, 400, code="UnknownOperationException", message=message)
        try:
            body = read_object(request.body)
            shapes = await asyncio.to_thread(open_shapes, self.name)
            wrong = shapes.violations(operation, body)
        except (MalformedJson, Malformed) as error:
            return refuse(request, 400, code="SerializationException", message=str(error))
        fault = Fault(self.api.invalid, wrong) if wrong else self.find_fault(operation, body)
        if fault is not None:
            return refuse(request, fault.status, code=fault.code, message=fault.message)
        given = json.dumps({name: value for name, value in body.items() if value is not None}).encode()
        answer = await self._ask(replace(request, path="/", query="", method="POST", body=given), operation)
        if answer.status == 200:
            self.hear(operation, Heard(body, _told(answer), request.region))
        return answer

    def find_fault(self, operation: str, body: Mapping[str, Any]) -> Fault | None:  # noqa: ARG002 - for subclasses
        """What moto would pass over, None for nothing."""
        return None

    def hear(self, operation: str, heard: Heard) -> None:
        """Learn from what was answered: names that permissions are asked by."""

    @abstractmethod
    def needs(self, operation: str, body: Mapping[str, Any], region: str) -> tuple[Permission, ...]:
        """What IAM would check of an operation that is served."""

    def operation(self, request: WireRequest) -> str:
        """The operation's name, "" where the target is another API's."""
        return request.target.removeprefix(self.api.target) if request.target.startswith(self.api.target) else ""

    async def set_up(
        self, operation: str, body: Mapping[str, Any], *, region: str, then: Then | None = None
    ) -> WireResponse | None:
        """Do an operation now, or, where moto is not loaded yet, when it is; None then. `then` is called after it."""
        headers = {"x-amz-target": self.api.target + operation, "content-type": CONTENT_TYPE, "host": self.name}
        request = WireRequest(
            service=self.name,
            region=region,
            method="POST",
            path="/",
            query="",
            headers=headers,
            body=json.dumps(body).encode(),
            access_key="local",
            request_id="deployer",
        )
        return await self.prepare(request, then=then)

    def _needed(self, request: WireRequest) -> tuple[Permission, ...]:
        operation = self.operation(request)
        if operation not in self.api.operations:
            return ()
        try:
            return self.needs(operation, read_object(request.body), request.region)
        except MalformedJson:
            return ()

    async def _ask(self, request: WireRequest, operation: str) -> WireResponse:
        try:
            answer = await super().handle(request)
        except DelegateFailed as failure:
            if isinstance(failure.error, NotImplementedError):
                message = f"The local cloud does not serve this of {operation}: {failure.error}"
                return refuse(request, 400, code=self.api.invalid, message=message)
            if isinstance(failure.error, ImportError):  # the request is not at fault
                raise
            fault = self.api.blame.get(type(failure.error))
            fault = fault or Fault(self.api.invalid, f"The request is not valid ({failure}).")
            return refuse(request, fault.status, code=fault.code, message=fault.message)
        if answer.status == 501:
            message = f"The local cloud does not serve the operation {operation} of {self.name}."
            return refuse(request, 400, code="UnknownOperationException", message=message)
        return _tidy(request, answer) if 400 <= answer.status < 500 else answer


def read_object(body: bytes) -> dict[str, Any]:
    """The members of a request. Raises MalformedJson."""
    raw = read_json(body or b"{}")
    if not isinstance(raw, dict):
        raise MalformedJson("the request must be a JSON object")
    return cast("dict[str, Any]", raw)


def _tidy(request: WireRequest, answer: WireResponse) -> WireResponse:
    """An error of moto's as AWS JSON has it: always a 400, and its message without the words that SDKs add."""
    told = _told(answer)
    code = str(told.get("__type", "ValidationException")).rpartition("#")[2]
    message = " ".join(str(told.get("message", told.get("Message", ""))).split())
    return refuse(request, 400, code=code, message=_SDK_WORDS.sub("", message))


def _told(answer: WireResponse) -> Mapping[str, Any]:
    body = cast("bytes", answer.body)
    found: object = json.loads(body) if body else {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
