"""Custom resources: whoever makes them is asked by an event, and answers at an address of its own.

Owns the waiting: up to `ServiceTimeout` for Create, as on AWS; a Delete at `down` or after a failed start is waited for
briefly, for both have an end. An Update never comes: a stack here is made anew.
Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudformation-customresource.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Final

from localcloud.services.cloudformation.answers import AnswerDesk
from localcloud.services.cloudformation.custom import Answer, Asked, BadAnswer, read_answer
from localcloud.template.errors import TemplateError
from localcloud.template.handler import CUSTOM_RESOURCE, Physical, Resource, Supported
from localcloud.template.properties import read_properties
from localcloud.template.scope import pseudo_parameters

__all__ = ["DELETE_WAIT_S", "CustomResourceHandler", "OpenTable", "Send"]

MAX_WAIT_S: Final = 3600  # ServiceTimeout: "1 to 3600, default 3600"
DELETE_WAIT_S: Final = 10.0  # ours
TELL_S: Final = 10.0  # of silence before a person is told what is waited for
TELL_AGAIN_S: Final = 60.0

Send = Callable[[str, str], Awaitable[None]]
"""Gives an event to the service token's function or topic. Raises LookupError, whose text says why it cannot."""


class OpenTable(Mapping[str, Supported]):
    """A table that serves every property, and names some."""

    def __init__(self, named: Mapping[str, Supported]) -> None:
        self._named = dict(named)

    def __getitem__(self, name: str) -> Supported:
        return self._named.get(name, Supported())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)

    def __iter__(self) -> Iterator[str]:
        return iter(self._named)

    def __len__(self) -> int:
        return len(self._named)


class CustomResourceHandler:
    """`AWS::CloudFormation::CustomResource` and `Custom::Anything`. Ref is the answer's PhysicalResourceId."""

    type: str = CUSTOM_RESOURCE
    support: Supported = Supported()
    properties: Mapping[str, Supported] = OpenTable({"ServiceTimeout": Supported(), "ServiceToken": Supported()})

    def __init__(self, desk: AnswerDesk, send: Send, *, tell: Callable[[str], None]) -> None:
        self._desk = desk
        self._send = send
        self._tell = tell
        self._begun: dict[tuple[str, str], str] = {}  # the physical ids of what somebody was asked to make

    async def create(self, resource: Resource) -> Physical:
        """Ask for it and wait. Raises TemplateError: FAILED with its reason, no answer in time, or none that counts."""
        read = read_properties(resource)
        timeout_s = read.integer("ServiceTimeout", MAX_WAIT_S, low=1, high=MAX_WAIT_S)
        stack_name, logical_id = key = _key(resource)
        asked = self._asked("Create", resource)
        self._begun[key] = f"{stack_name}-{logical_id}-{asked.request_id[:8].upper()}"
        answer = await self._ask(asked, resource, timeout_s=timeout_s)
        self._begun[key] = answer.physical_id or self._begun[key]
        if not answer.succeeded:
            raise _failed(resource, answer, asked)
        return Physical(answer.physical_id, answer.data, hidden=answer.hidden)

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Ask for its deletion. Raises TemplateError where it fails or nobody answers."""
        asked = self._asked("Delete", resource, physical_id=physical.ref)
        self._begun.pop(_key(resource), None)
        answer = await self._ask(asked, resource, timeout_s=DELETE_WAIT_S)
        if not answer.succeeded:
            raise _failed(resource, answer, asked)

    async def undo(self, resource: Resource) -> None:
        """Ask for the deletion of what failed: on AWS too a failed Create is followed by a Delete."""
        physical_id = self._begun.get(_key(resource))
        if physical_id is not None:
            await self.delete(resource, Physical(physical_id))

    def _asked(self, kind: str, resource: Resource, *, physical_id: str = "") -> Asked:
        return Asked(
            kind=kind,
            stack_id=pseudo_parameters(resource.context)["AWS::StackId"],
            request_id=self._desk.new_id(),
            logical_id=resource.logical_id,
            resource_type=resource.type,
            properties=resource.properties,
            physical_id=physical_id,
        )

    async def _ask(self, asked: Asked, resource: Resource, *, timeout_s: float) -> Answer:
        read = read_properties(resource)
        token = read.text("ServiceToken")
        try:
            name = f"{resource.context.stack_name}/{asked.logical_id}"
            with self._desk.await_answer(name, secure=":lambda:" in token) as awaited:
                await self._send(token, asked.document(awaited.url))
                async with asyncio.timeout(timeout_s):
                    body = await self._wait(awaited.document, asked, timeout_s)
            return read_answer(body, asked)
        except LookupError as error:
            self._begun.pop(_key(resource), None)  # nobody has heard of it
            raise read.error("ServiceToken", str(error.args[0] if error.args else error)) from error
        except TimeoutError as error:
            said = (
                f"no answer to the {asked.kind} of this custom resource within {timeout_s:g} s "
                f"(RequestId: {asked.request_id}); the log of {token} says what became of it"
            )
            raise TemplateError(said, where=f"Resources.{asked.logical_id}") from error
        except BadAnswer as error:
            said = f"the answer to the {asked.kind} is refused: {error} (RequestId: {asked.request_id})"
            raise TemplateError(said, where=f"Resources.{asked.logical_id}") from error

    async def _wait(self, document: asyncio.Future[bytes], asked: Asked, timeout_s: float) -> bytes:
        silence_s = TELL_S
        waited_s = 0.0
        while True:
            done, _ = await asyncio.wait([document], timeout=silence_s)
            if done:
                return document.result()
            waited_s += silence_s
            self._tell(
                f"Waiting for the answer to the {asked.kind} of {asked.logical_id} ({asked.resource_type}): "
                f"{waited_s:.0f} s of at most {timeout_s:.0f}, over plain HTTP"
            )
            silence_s = TELL_AGAIN_S


def _failed(resource: Resource, answer: Answer, asked: Asked) -> TemplateError:
    said = f"Received response status [FAILED] from custom resource. Message returned: {answer.reason}"
    return TemplateError(f"{said} (RequestId: {asked.request_id})", where=f"Resources.{resource.logical_id}")


def _key(resource: Resource) -> tuple[str, str]:
    return resource.context.stack_name, resource.logical_id
