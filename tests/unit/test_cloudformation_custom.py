"""Custom resources: what is asked, what is answered, and what becomes of it."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request

from localcloud.clock import run_virtual
from localcloud.services.cloudformation.answers import AnswerDesk
from localcloud.services.cloudformation.custom import Asked, BadAnswer, as_texts, read_answer
from localcloud.services.cloudformation.resources import CustomResourceHandler
from localcloud.template.deploy import Deployed, Step, deploy, undeploy
from localcloud.template.errors import TemplateError
from localcloud.template.ledger import make_ledger
from localcloud.template.source import Source
from localcloud.template.stack import Settled, prepare_stack, stack_context

TOKEN = "arn:aws:lambda:us-east-1:123456789012:function:f"
STACK_ID = "arn:aws:cloudformation:us-east-1:123456789012:stack/sluiceway/00000000-0000-0000-0000-000000000000"


def _copied(event: Mapping[str, Any], **others: object) -> dict[str, Any]:
    names = ("StackId", "RequestId", "LogicalResourceId")
    return {"Status": "SUCCESS", "PhysicalResourceId": "p-1", **{name: event[name] for name in names}, **others}


def endpoint(secure: bool) -> str:
    return "https://127.0.0.1:2" if secure else "http://127.0.0.1:1"


class Maker:
    """Whoever makes the resources: `reply` gives the answer to an event, None for none, after `takes_s`."""

    def __init__(self, reply: Callable[[dict[str, Any]], object], *, takes_s: float = 1.0) -> None:
        self.events: list[dict[str, Any]] = []
        self.told: list[str] = []
        self.statuses: list[int] = []
        self._reply = reply
        self._takes_s = takes_s
        self._tasks: set[asyncio.Task[None]] = set()
        self.desk = AnswerDesk(
            lambda secure: "https://127.0.0.1:2" if secure else "http://127.0.0.1:1", random.Random(1)
        )
        self.handler = CustomResourceHandler(self.desk, self._send, tell=self.told.append)

    async def _send(self, token: str, document: str) -> None:
        if token != TOKEN:
            raise LookupError(f"Invalid service token: {token}")
        event = json.loads(document)
        self.events.append(event)
        answer = self._reply(event)
        if answer is not None:
            task = asyncio.get_running_loop().create_task(self._answer(event["ResponseURL"], answer))
            self._tasks.add(task)

    async def _answer(self, url: str, answer: object) -> None:
        await asyncio.sleep(self._takes_s)
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.statuses.append(await put(self.desk, url, body))


async def put(desk: AnswerDesk, url: str, body: bytes, *, method: str = "PUT") -> int:
    """What a client that puts `body` there is answered: the status."""
    stream = StreamReader(BaseProtocol(asyncio.get_running_loop()), 2**22)
    stream.feed_data(body)
    stream.feed_eof()
    request = make_mocked_request(method, url.removeprefix("http://127.0.0.1:1"), payload=stream)
    response = cast("web.Response", await desk.answer(request))
    return response.status


def _deploy(
    maker: Maker,
    *,
    then: Callable[[Deployed], Awaitable[Any]] | None = None,
    properties: Mapping[str, Any] | None = None,
    policy: str = "",
    watch: Callable[[Step], None] | None = None,
) -> Any:
    thing: dict[str, Any] = {
        "Type": "Custom::Thing",
        "Properties": {"ServiceToken": TOKEN, **(properties or {})},
        **({"DeletionPolicy": policy} if policy else {}),
    }
    body = {
        "Resources": {"Thing": thing},
        "Outputs": {"Name": {"Value": {"Fn::GetAtt": "Thing.Name"}}, "Ref": {"Value": {"Ref": "Thing"}}},
    }
    handlers = {maker.handler.type: maker.handler}

    async def main() -> Any:
        stack = prepare_stack(Source(Path("t.yaml"), body), stack_context(Path()), Settled())
        deployed = await deploy(stack, handlers, make_ledger(stack.graph, handlers), watch=watch)
        return await then(deployed) if then is not None else deployed

    return run_virtual(main)


def test_a_resource_is_made_by_an_event_and_its_answer() -> None:
    """The event is CloudFormation's, with every scalar as text; the answer is Ref and attributes."""
    maker = Maker(lambda event: _copied(event, Data={"Name": "n", "Size": 3}))
    deployed = _deploy(maker, properties={"Size": 3, "On": True, "Deep": {"List": [1, "a", 2.5]}})
    (event,) = maker.events
    url, request_id = event.pop("ResponseURL"), event.pop("RequestId")
    assert event == {
        "RequestType": "Create",
        "ServiceToken": TOKEN,
        "StackId": STACK_ID,
        "LogicalResourceId": "Thing",
        "ResourceType": "Custom::Thing",
        "ResourceProperties": {
            "ServiceToken": TOKEN, "Size": "3", "On": "true", "Deep": {"List": ["1", "a", "2.5"]},
        },
    }  # fmt: skip
    assert (url.startswith("https://127.0.0.1:2/_sluiceway/answers/sluiceway/Thing?X-Amz-"), len(request_id)) == (
        True,
        36,
    )
    assert deployed.outputs == {"Name": "n", "Ref": "p-1"}
    assert deployed.made["Thing"].physical.attributes == {"Name": "n", "Size": "3"}
    assert maker.statuses == [200]


def test_a_resource_is_deleted_by_its_physical_id() -> None:
    """Sent at the end, waited for, and told by its steps."""
    maker = Maker(lambda event: _copied(event, Data={"Name": "n"}))
    steps: list[Step] = []
    assert _deploy(maker, then=undeploy, watch=steps.append) == ()
    assert [(event["RequestType"], event.get("PhysicalResourceId")) for event in maker.events] == [
        ("Create", None), ("Delete", "p-1"),
    ]  # fmt: skip
    assert [(step.status, step.physical_id) for step in steps] == [
        ("CREATE_IN_PROGRESS", ""),
        ("CREATE_COMPLETE", "p-1"),
        ("DELETE_IN_PROGRESS", "p-1"),
        ("DELETE_COMPLETE", "p-1"),
    ]


def test_a_retained_resource_is_sent_no_delete() -> None:
    """As on AWS: what is kept is not asked to go."""
    maker = Maker(lambda event: _copied(event, Data={"Name": "n"}))
    assert _deploy(maker, then=undeploy, policy="Retain") == ()
    assert [event["RequestType"] for event in maker.events] == ["Create"]


def test_a_failure_ends_the_start_with_its_reason_and_is_followed_by_a_delete() -> None:
    """CloudFormation's own sentence; the Delete names what the answer named."""

    def reply(event: dict[str, Any]) -> object:
        if event["RequestType"] == "Create":
            return _copied(event, Status="FAILED", Reason="no room", PhysicalResourceId="half")
        return _copied(event)

    maker = Maker(reply)
    with pytest.raises(TemplateError) as caught:
        _deploy(maker)
    said = "Received response status [FAILED] from custom resource. Message returned: no room (RequestId: "
    assert (caught.value.where, caught.value.detail.startswith(said)) == ("Resources.Thing", True)
    assert [(event["RequestType"], event.get("PhysicalResourceId")) for event in maker.events] == [
        ("Create", None), ("Delete", "half"),
    ]  # fmt: skip


def test_silence_ends_the_start_after_its_time_out_and_is_told_meanwhile() -> None:
    """A person hears what is waited for; the Delete that follows has an end of its own."""
    maker = Maker(lambda _: None)
    loop_s: list[float] = []

    def note(step: Step) -> None:
        loop_s.append(asyncio.get_running_loop().time())

    with pytest.raises(TemplateError, match="no answer to the Create of this custom resource within 100 s"):
        _deploy(maker, properties={"ServiceTimeout": 100}, watch=note)
    assert maker.told == [
        "Waiting for the answer to the Create of Thing (Custom::Thing): 10 s of at most 100, over plain HTTP",
        "Waiting for the answer to the Create of Thing (Custom::Thing): 70 s of at most 100, over plain HTTP",
    ]
    assert loop_s == [0.0, 100.0, 100.0, 110.0]
    assert [event["RequestType"] for event in maker.events] == ["Create", "Delete"]


def test_a_delete_without_an_answer_is_told_and_blocks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The stack's end has an end."""
    maker = Maker(lambda event: _copied(event, Data={"Name": "n"}) if event["RequestType"] == "Create" else None)
    assert _deploy(maker, then=undeploy) == ("Thing",)
    assert caplog.messages == ["stack.delete_failed"]


@pytest.mark.parametrize("timeout_s", [0, 3601, "soon"])
def test_a_time_out_is_1_to_3600_seconds(timeout_s: object) -> None:
    """Refused by property, and nobody is asked."""
    maker = Maker(lambda _: None)
    with pytest.raises(TemplateError, match=r"Thing\.Properties\.ServiceTimeout: must be"):
        _deploy(maker, properties={"ServiceTimeout": timeout_s})
    assert maker.events == []


def test_a_token_that_leads_nowhere_is_said_and_nothing_is_deleted(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody has heard of the resource, so nobody is asked to delete it."""
    maker = Maker(lambda _: None)
    with pytest.raises(TemplateError, match=r"Thing\.Properties\.ServiceToken: Invalid service token: nobody"):
        _deploy(maker, properties={"ServiceToken": "nobody"})
    assert (maker.events, caplog.messages) == ([], [])


def test_what_was_answered_with_no_echo_is_masked_in_outputs() -> None:
    """Other resources see it, outputs do not."""
    maker = Maker(lambda event: _copied(event, NoEcho=True, Data={"Name": "secret"}))
    deployed = _deploy(maker)
    assert deployed.outputs == {"Name": "****", "Ref": "p-1"}
    assert deployed.made["Thing"].physical.attributes == {"Name": "secret"}


ASKED = Asked("Create", "s", "r", "l", "Custom::T", {})
FINE = {"Status": "SUCCESS", "PhysicalResourceId": "p", "StackId": "s", "RequestId": "r", "LogicalResourceId": "l"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "the response is no JSON"),
        (b"[]", "must be a JSON object"),
        (json.dumps({**FINE, "Status": "OK"}).encode(), "Invalid Status: must be SUCCESS or FAILED, is 'OK'"),
        (json.dumps({**FINE, "RequestId": "x"}).encode(), "RequestId must be copied from the request, is 'x'"),
        (json.dumps({**FINE, "PhysicalResourceId": ""}).encode(), "Invalid PhysicalResourceId"),
        (json.dumps({**FINE, "PhysicalResourceId": "p" * 1025}).encode(), "Invalid PhysicalResourceId"),
        (json.dumps({**FINE, "Data": ["a"]}).encode(), "Data must be a JSON object"),
        (json.dumps({**FINE, "Data": {"a": "x" * 4096}}).encode(), "Response object is too long"),
    ],
)
def test_answers_that_cloudformation_takes_not_are_refused(body: bytes, message: str) -> None:
    """In words, with what was wrong."""
    with pytest.raises(BadAnswer, match=message):
        read_answer(body, ASKED)


def test_an_answer_that_is_refused_ends_the_start() -> None:
    """It is no crash of the deployer's."""
    maker = Maker(lambda _: b"nonsense")
    with pytest.raises(TemplateError, match="the answer to the Create is refused: the response is no JSON"):
        _deploy(maker)


def test_a_failure_may_name_no_physical_id() -> None:
    """Nothing was made that could have one."""
    answer = read_answer(json.dumps({**FINE, "Status": "FAILED", "PhysicalResourceId": None}).encode(), ASKED)
    assert (answer.succeeded, answer.physical_id) == (False, "")


def test_numbers_and_booleans_are_sent_as_text() -> None:
    """Null stays null."""
    assert as_texts({"a": [1, 1.0, True, None, "x"]}) == {"a": ["1", "1", "true", None, "x"]}


def test_an_address_takes_one_put_while_it_is_waited_for() -> None:
    """The first counts, later ones are answered alike; then, and for other methods and signatures, 403."""
    desk = AnswerDesk(endpoint, random.Random(1))

    async def main() -> tuple[list[int], bytes]:
        with desk.await_answer("s/L", secure=False) as awaited:
            first = [await put(desk, awaited.url, b"", method="GET"), await put(desk, awaited.url, b"1")]
            second = [await put(desk, awaited.url, b"2"), await put(desk, awaited.url + "0", b"3")]
            too_large = await put(desk, awaited.url, b"x" * (1024 * 1024 + 1))
            document = awaited.document.result()
        return [*first, *second, too_large, await put(desk, awaited.url, b"4")], document

    assert run_virtual(main) == ([403, 200, 200, 403, 400, 403], b"1")
