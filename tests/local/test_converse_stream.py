"""ConverseStream over real sockets: the SDK and the provider against the local Bedrock, and who stops whom."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aioboto3
import pytest
from botocore.config import Config
from botocore.eventstream import ChecksumMismatch
from botocore.exceptions import ClientError, EventStreamError

from localcloud.front import Front
from localcloud.listening import open_listener
from localcloud.models.scripted import Fault, Reply, Script, ScriptedEngine
from localcloud.services.bedrock.wire import BedrockService
from localcloud.services.contract import Permission
from sluiceway.aws.wire import Wire
from sluiceway.genai.bedrock import BedrockProvider
from sluiceway.genai.faults import ContentFiltered, ContextTooLong, Invalid, Overloaded, Throttled
from sluiceway.genai.provider import CallContext, Delta, Finish, Message, ModelRequest, Usage
from tests.unit.wire_server import environ

pytestmark = pytest.mark.local
NOVA = "amazon.nova-micro-v1:0"
ASKED: dict[str, Any] = {"modelId": NOVA, "messages": [{"role": "user", "content": [{"text": "hello"}]}]}
REQUEST = ModelRequest((Message("user", "hello"),), max_tokens=50)
HELLO = (Reply("hello", "Good day, Rhône 😀"),)
LONG = (Reply("hello", "word " * 5_000),)


class Cloud:
    """A front with Bedrock alone, its engine, and what it was asked permission for."""

    def __init__(self, script: Script) -> None:
        self.engine = ScriptedEngine(script)
        self.needs: list[Permission] = []
        self.url = ""

    @asynccontextmanager
    async def serve(self) -> AsyncGenerator[Cloud]:
        front = Front([BedrockService(self.engine)], authorise=self._note, rng=random.Random(1))
        async with front.serve(open_listener()) as self.url:
            yield self

    def _note(self, _key: str, needs: tuple[Permission, ...]) -> None:
        self.needs += needs


@asynccontextmanager
async def sdk(cloud: Cloud) -> AsyncGenerator[Any]:
    """aioboto3's client, which tries once."""
    session = aioboto3.Session(aws_access_key_id="AK", aws_secret_access_key="secret", region_name="eu-west-1")
    config = Config(retries={"total_max_attempts": 1})
    async with session.client("bedrock-runtime", endpoint_url=cloud.url, config=config) as client:
        yield client


@asynccontextmanager
async def provider(cloud: Cloud, **options: Any) -> AsyncGenerator[BedrockProvider]:
    async with Wire.open(environ(AWS_ENDPOINT_URL=cloud.url, AWS_MAX_ATTEMPTS="1")) as wire:
        yield BedrockProvider(wire, NOVA, **options)


def context() -> CallContext:
    return CallContext(deadline=asyncio.get_running_loop().time() + 20)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 - the socket's other end tells nobody
            await asyncio.sleep(0.002)


async def test_the_sdk_reads_the_stream() -> None:
    """aioboto3 parses every event, and the permission that IAM checks is the streaming one."""
    async with Cloud(Script(replies=HELLO)).serve() as cloud, sdk(cloud) as client:
        response = await client.converse_stream(**ASKED)
        events = [event async for event in response["stream"]]
    text = "".join(event["contentBlockDelta"]["delta"]["text"] for event in events if "contentBlockDelta" in event)
    assert text == "Good day, Rhône 😀"
    assert events[0] == {"messageStart": {"role": "assistant"}}
    assert events[-2] == {"messageStop": {"stopReason": "end_turn"}}
    assert events[-1]["metadata"]["usage"] == {"inputTokens": 1, "outputTokens": 5, "totalTokens": 6}
    assert response["ResponseMetadata"]["RequestId"]
    arn = f"arn:aws:bedrock:eu-west-1::foundation-model/{NOVA}"
    assert cloud.needs == [Permission("bedrock:InvokeModelWithResponseStream", arn)]


async def test_the_sdk_sees_the_faults_of_a_stream() -> None:
    """An exception event, damaged bytes, and a refusal before the first text: each as the SDK reports it from AWS."""
    faults = (
        Fault("throttled", call=0, after_tokens=1),
        Fault("corrupt", call=1, after_tokens=1),
        Fault("throttled", call=2),
    )

    async def read(client: Any) -> None:
        async for _ in (await client.converse_stream(**ASKED))["stream"]:
            pass

    async with Cloud(Script(replies=HELLO, faults=faults)).serve() as cloud, sdk(cloud) as client:
        with pytest.raises(EventStreamError) as thrown:
            await read(client)
        assert thrown.value.response["Error"]["Code"] == "throttlingException"
        with pytest.raises(ChecksumMismatch):
            await read(client)
        with pytest.raises(ClientError) as refused:
            await read(client)
        assert refused.value.response["Error"]["Code"] == "ThrottlingException"


async def test_the_sdk_stops_the_generation_by_closing() -> None:
    """`close()` on the stream ends it in the engine."""
    async with Cloud(Script(token_s=0.001, replies=LONG)).serve() as cloud, sdk(cloud) as client:
        stream = (await client.converse_stream(**ASKED))["stream"]
        async for _ in stream:
            break
        assert cloud.engine.active == 1
        stream.close()
        await until(lambda: cloud.engine.active == 0)


async def test_the_provider_streams_what_the_model_makes() -> None:
    """Text in pieces, the first long before the last; then usage; the connection serves again."""
    async with Cloud(Script(token_s=0.02, replies=HELLO)).serve() as cloud, provider(cloud) as model:
        for calls in (1, 2):
            async with model.stream(REQUEST, context()) as events:
                first = await anext(events)
                assert cloud.engine.active == 1
                rest = [event async for event in events]
            said = [first, *rest[:-1]]
            assert "".join(event.text for event in said if isinstance(event, Delta)) == "Good day, Rhône 😀"
            assert len(said) == 5
            assert rest[-1] == Finish("end_turn", Usage(1, 5))
            assert (cloud.engine.calls, cloud.engine.active) == (calls, 0)


@pytest.mark.parametrize("how", ["break", "cancel", "deadline"])
async def test_leaving_stops_the_generation_in_the_engine(how: str) -> None:
    """Whoever stops reading stops the model: at once, and not when its text happens to be over."""
    reading = asyncio.Event()

    async def read(model: BedrockProvider, limit: CallContext) -> None:
        async with model.stream(REQUEST, limit) as events:
            async for _ in events:
                reading.set()
                if how == "break":
                    break

    async with Cloud(Script(token_s=0.01, replies=LONG)).serve() as cloud, provider(cloud) as model:
        limit = CallContext(deadline=asyncio.get_running_loop().time() + 0.3) if how == "deadline" else context()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(outcome(read(model, limit)))
            await reading.wait()
            if how == "cancel":
                task.cancel()
        await until(lambda: cloud.engine.active == 0)
        expected = {"break": "nothing", "deadline": "DeadlineExceeded"}
        assert task.cancelled() if how == "cancel" else task.result() == expected[how]


async def outcome(work: Any) -> str:
    """The name of the error that `work` raised."""
    try:
        await work
    except Exception as error:  # noqa: BLE001 - handed to the test
        return type(error).__name__
    return "nothing"


async def test_a_caller_that_leaves_while_the_model_thinks() -> None:
    """Before the first text nothing was sent yet: the generation stops all the same."""
    async with Cloud(Script(first_token_s=60.0)).serve() as cloud, provider(cloud) as model:
        for work in (model.converse(REQUEST, context()), enter(model)):
            async with asyncio.TaskGroup() as group:
                task = group.create_task(work)
                await until(lambda: cloud.engine.active == 1)
                task.cancel()
            await until(lambda: cloud.engine.active == 0)


async def enter(model: BedrockProvider) -> None:
    async with model.stream(REQUEST, context()):
        pass


@pytest.mark.parametrize(
    ("fault", "error", "heard"),
    [
        (Fault("throttled", call=0), Throttled, 0),
        (Fault("too_long", call=0), ContextTooLong, 0),
        (Fault("no_prefill", call=0), Invalid, 0),
        (Fault("filtered", call=0), ContentFiltered, 0),
        (Fault("filtered", call=0, after_tokens=2), ContentFiltered, 2),
        (Fault("throttled", call=0, after_tokens=2), Throttled, 2),
        (Fault("unavailable", call=0, after_tokens=2), Overloaded, 2),
        (Fault("failed", call=0, after_tokens=2), Overloaded, 2),
        (Fault("cut", call=0, after_tokens=2), Overloaded, 2),
        (Fault("corrupt", call=0, after_tokens=2), Overloaded, 2),
        (Fault("stall", call=0, after_tokens=2), Overloaded, 2),
    ],
)
async def test_every_fault_reaches_the_provider_after_what_was_said(
    fault: Fault, error: type[Exception], heard: int
) -> None:
    """In time, by its name, and the next call is none the worse for it."""
    seen: list[str] = []

    async def read(model: BedrockProvider) -> None:
        async with model.stream(REQUEST, context()) as events:
            async for event in events:
                seen.append(event.text if isinstance(event, Delta) else "finish")

    async with Cloud(Script(replies=HELLO, faults=(fault,))).serve() as cloud, provider(cloud, idle_s=0.1) as model:
        with pytest.raises(error):
            await read(model)
        assert len(seen) == heard
        await until(lambda: cloud.engine.active == 0)
        await read(model)
        assert "".join(seen[heard:-1]) == "Good day, Rhône 😀"


async def test_an_answer_whose_stream_was_cut_is_continued() -> None:
    """The next call, given what was heard, hears exactly the rest."""
    faults = (Fault("cut", call=0, after_tokens=3),)
    heard: list[str] = []

    async def read(model: BedrockProvider, *messages: Message) -> None:
        asked = ModelRequest((*REQUEST.messages, *messages), max_tokens=50)
        async with model.stream(asked, context()) as events:
            async for event in events:
                heard.append(event.text if isinstance(event, Delta) else "")

    async with Cloud(Script(replies=HELLO, faults=faults)).serve() as cloud, provider(cloud) as model:
        with pytest.raises(Overloaded):
            await read(model)
        assert "".join(heard) == "Good day,"
        await read(model, Message("assistant", "".join(heard)))
    assert "".join(heard) == "Good day, Rhône 😀"


async def test_the_sdk_continues_an_answer_and_sees_one_withheld() -> None:
    """A last message of the assistant passes the SDK's checks; a guardrail's stop reason comes with its message."""
    faults = (Fault("filtered", call=1, after_tokens=1),)
    begun = {**ASKED, "messages": [*ASKED["messages"], {"role": "assistant", "content": [{"text": "Good day"}]}]}
    async with Cloud(Script(replies=HELLO, faults=faults)).serve() as cloud, sdk(cloud) as client:
        rest = await client.converse(**begun)
        assert rest["output"]["message"]["content"] == [{"text": ", Rhône 😀"}]
        withheld = await client.converse(**ASKED)
        assert withheld["stopReason"] == "guardrail_intervened"
        assert withheld["output"]["message"]["content"] == [{"text": "Sorry, the model cannot answer this question."}]


async def test_a_hundred_streams_at_once() -> None:
    """Each hears its own answer, whole."""
    replies = tuple(Reply(f"q{number};", f"answer {number} " * 5) for number in range(100))

    async def read(model: BedrockProvider, number: int) -> str:
        asked = ModelRequest((Message("user", f"q{number};"),), max_tokens=50)
        async with model.stream(asked, context()) as events:
            return "".join([event.text async for event in events if isinstance(event, Delta)])

    async with Cloud(Script(token_s=0.005, replies=replies)).serve() as cloud, provider(cloud) as model:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(read(model, number)) for number in range(100)]
        assert [task.result() for task in tasks] == [f"answer {number} " * 5 for number in range(100)]
        assert cloud.engine.active == 0
