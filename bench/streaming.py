"""What a streamed answer costs on its way to its readers, and how far behind the model they are.

The layer's own flow (flows/stream: claim, keep in DynamoDB, coalesce, post) beside what most deployments do: a queue
for each stream and a post for each token, in order, with aiobotocore and with our wire client. The model is paced: 80
tokens/s, whoever listens. API Gateway's management API is a stand-in with TLS whose posts last 25 to 80 ms
(gateway.py), DynamoDB the local cloud's, each in a process of its own, as each side is. Times run from the model's
event to the message's arrival at the gateway: "token" is any token's, "text" and "final" are how far behind the model's
end the last text and the last frame are. "cold" is the first stream of a process, which has no connections yet; before
the others each stream's connection is open. CPU is the side's process over the tokens that arrived; "no delivery" is
the paced model alone.
Run: python bench/streaming.py [--rounds N] [--quick]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloud import Cloud
from gateway import Gateway
from table import print_table, print_verdict

sys.path.insert(0, str(Path(__file__).parents[1] / "layers" / "sluiceway"))

if TYPE_CHECKING:
    from sluiceway.genai.provider import StreamEvent

SIDES = ("sluiceway", "a post a token, our wire", "a post a token, aiobotocore", "no delivery")
OURS, WIRE, AIOBOTOCORE, NOTHING = SIDES
TOKEN_S = 1 / 80
THINKS_S = 0.3
POST_S = (0.025, 0.080)
FIRST_BUDGET_MS = 5.0
LAG_BUDGET_MS = 150.0
CROWDS = (10, 100)  # streams on one event loop; in Lambda each has an environment of its own
WORDS = ("water", "gate", "channel", "river", "stone", "mill", "turn", "flow", "slow", "bright", "cold", "reed")
API = "https://a1b2c3d4e5.execute-api.us-east-1.amazonaws.com/v1"
TEMPLATE = """
Resources:
  Answers:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: caller, AttributeType: S}, {AttributeName: item, AttributeType: S}]
      KeySchema: [{AttributeName: caller, KeyType: HASH}, {AttributeName: item, KeyType: RANGE}]
Outputs: {Answers: {Value: !Ref Answers}}
"""
GREETING = b'{"v":1,"req":"","seq":1,"off":0,"t":"ping","d":null}'
Post = Callable[[str, bytes], Awaitable[object]]
Run = Callable[[str], Awaitable[None]]
"""Streams one answer to the connection of that name."""
Prepare = Callable[[str], Awaitable[None]]
"""Keeps the question whose answer will go there."""
Opened = tuple[Post, Prepare, Run]


def words(tokens: int) -> list[str]:
    return [f" {WORDS[number * 7 % len(WORDS)]}" for number in range(tokens)]


class PacedModel:
    """Says `tokens` words, each at its time whoever listens. `said` has those times by request, the end's last."""

    def __init__(self) -> None:
        self.tokens = 0
        self.said: dict[str, list[float]] = {}

    async def converse(self, request: object, context: object) -> Any:
        raise NotImplementedError

    @asynccontextmanager
    async def stream(self, request: object, context: Any) -> AsyncGenerator[AsyncIterator[StreamEvent]]:
        del request
        yield self._events(self.said.setdefault(context.request_id, []))

    async def _events(self, said: list[float]) -> AsyncGenerator[StreamEvent]:
        from sluiceway.genai.provider import Delta, Finish, Usage  # noqa: PLC0415 - the comparing process needs none

        begun = asyncio.get_running_loop().time() + THINKS_S
        for number, word in enumerate(words(self.tokens)):
            await asyncio.sleep(max(0.0, begun + number * TOKEN_S - asyncio.get_running_loop().time()))
            said.append(time.monotonic())
            yield Delta(word)
        said.append(time.monotonic())
        yield Finish("end_turn", Usage(10, self.tokens))


# ------------------------------------------------------------ the sides, each in its own process


async def open_flow(stack: AsyncExitStack, model: PacedModel) -> Opened:
    """The layer's flow, as functions/stream_answer has it."""
    from dataclasses import replace  # noqa: PLC0415 - only the process that measures it may load it

    from sluiceway.aws.answers import DynamoDbAnswerStore  # noqa: PLC0415 - the same
    from sluiceway.aws.connections import ApiConnections  # noqa: PLC0415 - the same
    from sluiceway.aws.dynamodb import Table  # noqa: PLC0415 - the same
    from sluiceway.aws.wire import Wire  # noqa: PLC0415 - the same
    from sluiceway.events.invocation import Invocation  # noqa: PLC0415 - the same
    from sluiceway.events.socket import StreamOrder  # noqa: PLC0415 - the same
    from sluiceway.flows.stream.answer import AnswerDesk, AnswerRules, run_answer  # noqa: PLC0415 - the same
    from sluiceway.flows.stream.generation import Model  # noqa: PLC0415 - the same
    from sluiceway.flows.stream.socket import make_record  # noqa: PLC0415 - the same
    from sluiceway.ports import Reader, SystemChance, SystemClock  # noqa: PLC0415 - the same
    from sluiceway.rules.answers import parse_ask  # noqa: PLC0415 - the same

    wire = await stack.enter_async_context(Wire.open(dict(os.environ)))
    clock = SystemClock()
    answers = DynamoDbAnswerStore(Table(wire, os.environ["ANSWERS"]), clock)
    connections = ApiConnections(wire, API)
    desk = AnswerDesk(answers, connections, Model(model, 8192), clock, SystemChance(), AnswerRules())

    async def prepare(name: str) -> None:
        ask = parse_ask(json.dumps({"prompt": "Name three rivers."}), req=name)
        record = make_record(ask, "bench", clock.now_ms(), correlation_id=name)
        await answers.create(replace(record, readers=(Reader(name, 1),)), ask.question)

    async def run(name: str) -> None:
        deadline = asyncio.get_running_loop().time() + 120
        await run_answer(StreamOrder("bench", name), Invocation(name, "bench", "arn:bench", deadline), desk)

    return connections.post, prepare, run


async def open_queue(post: Post, model: PacedModel) -> Opened:
    """A queue for each stream and a post for each event: what keeps tokens in order without coalescing them."""
    from sluiceway.genai.provider import CallContext, Delta  # noqa: PLC0415 - only the process that measures it

    async def prepare(_name: str) -> None:
        """Nothing is kept."""

    async def run(name: str) -> None:
        events: asyncio.Queue[StreamEvent] = asyncio.Queue()

        async def listen() -> None:
            async with model.stream(None, CallContext(0, name)) as stream:
                async for event in stream:
                    events.put_nowait(event)

        async with asyncio.TaskGroup() as group:
            group.create_task(listen())
            seq, off, is_over = 0, 0, False
            while not is_over:
                event = await events.get()
                is_over, seq = not isinstance(event, Delta), seq + 1
                data = event.text if isinstance(event, Delta) else {"stop_reason": event.stop_reason}
                kind = "delta" if isinstance(event, Delta) else "final"
                frame = {"v": 1, "req": name, "seq": seq, "off": off, "try": 1, "t": kind, "d": data}
                await post(name, json.dumps(frame, separators=(",", ":")).encode())
                off += len(event.text) if isinstance(event, Delta) else 0

    return post, prepare, run


async def open_wire_queue(stack: AsyncExitStack, model: PacedModel) -> Opened:
    from sluiceway.aws.connections import ApiConnections  # noqa: PLC0415 - only the process that measures it may load it
    from sluiceway.aws.wire import Wire  # noqa: PLC0415 - the same

    wire = await stack.enter_async_context(Wire.open(dict(os.environ)))
    return await open_queue(ApiConnections(wire, API).post, model)


async def open_aiobotocore_queue(stack: AsyncExitStack, model: PacedModel) -> Opened:
    import aioboto3  # noqa: PLC0415 - only the process that measures it may load it
    from aiobotocore.config import AioConfig  # noqa: PLC0415 - the same

    config = AioConfig(max_pool_connections=100)
    url = f"{os.environ['AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI']}/v1"
    opening = aioboto3.Session().client("apigatewaymanagementapi", config=config, endpoint_url=url)
    client = await stack.enter_async_context(opening)

    async def post(name: str, data: bytes) -> object:
        return await client.post_to_connection(ConnectionId=name, Data=data)

    return await open_queue(post, model)


async def open_nothing(_stack: AsyncExitStack, model: PacedModel) -> Opened:
    async def post(_name: str, _data: bytes) -> None:
        """To nobody."""

    return await open_queue(post, model)


OPENERS = dict(zip(SIDES, (open_flow, open_wire_queue, open_aiobotocore_queue, open_nothing), strict=True))


async def obey(side: str) -> None:
    """Stream as stdin says: `[names, tokens, warm]` answers the CPU seconds it took and when the model said what."""
    answers = os.fdopen(os.dup(1), "w")
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123, ASYNC230 - where this process logs to
    loop, model = asyncio.get_running_loop(), PacedModel()
    async with AsyncExitStack() as stack:
        post, prepare, run = await OPENERS[side](stack, model)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            names, model.tokens, warm = json.loads(line)
            model.said = {}
            for name in names:
                await prepare(name)
            async with asyncio.TaskGroup() as group:
                for name in names if warm else ():
                    group.create_task(post(name, GREETING))  # type: ignore[arg-type]
            begun = time.process_time()
            async with asyncio.TaskGroup() as group:
                for name in names:
                    group.create_task(run(name))
            told = {"cpu_s": time.process_time() - begun, "said": model.said}
            print(json.dumps(told), file=answers, flush=True)


class Worker:
    """One side in its process."""

    def __init__(self, side: str, environ: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--side", side],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **environ},
            text=True,
        )

    def stream(self, names: Sequence[str], tokens: int, *, warm: bool) -> dict[str, Any]:
        """An answer of `tokens` to each connection named, all at once."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{json.dumps([names, tokens, warm])}\n")
        self._process.stdin.flush()
        told: dict[str, Any] = json.loads(self._process.stdout.readline())
        return told

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)


# ------------------------------------------------------------ what came of it


@dataclass
class Outcome:
    """Of one side and number of streams, over all rounds. Milliseconds, but for `cpu_us` (a token)."""

    posts: list[float] = field(default_factory=list)  # a token
    first_ms: list[float] = field(default_factory=list)
    token_ms: list[float] = field(default_factory=list)
    text_ms: list[float] = field(default_factory=list)  # from the model's end to the last text
    final_ms: list[float] = field(default_factory=list)  # from the model's end to the last frame
    cpu_us: list[float] = field(default_factory=list)

    def take(self, said: Sequence[float], messages: Sequence[tuple[float, str]]) -> None:
        """One stream: when the model said what, and what came when. The whole text has to have come."""
        frames = [(at, json.loads(message)) for at, message in messages if message.encode() != GREETING]
        deltas = [(at, frame["off"] + len(frame["d"]), frame["d"]) for at, frame in frames if frame["t"] == "delta"]
        expected = words(len(said) - 1)
        if "".join(text for _, _, text in deltas) != "".join(expected) or frames[-1][1]["t"] != "final":
            raise SystemExit("a reader has not got what the model said")
        delays, length, waiting = [], 0, iter(deltas)
        came_at, reached, _ = next(waiting)
        for said_at, word in zip(said, expected, strict=False):
            length += len(word)
            while reached < length:
                came_at, reached, _ = next(waiting)
            delays.append((came_at - said_at) * 1e3)
        self.posts.append(len(frames) / len(expected))
        self.first_ms.append(delays[0])
        self.token_ms += delays
        self.text_ms.append((deltas[-1][0] - said[-1]) * 1e3)
        self.final_ms.append((frames[-1][0] - said[-1]) * 1e3)

    def row(self, streams: str, side: str) -> list[str]:
        cpu = f"{statistics.median(self.cpu_us):.0f}"
        if not self.first_ms:
            return [streams, side, *[""] * 9, cpu]
        shown = (self.first_ms, self.token_ms, self.text_ms, self.final_ms)
        times = [f"{each:.1f}" for values in shown for each in _middle_and_most(values)]
        return [streams, side, f"{statistics.mean(self.posts):.2f}", *times, cpu]


def _middle_and_most(values: Sequence[float]) -> tuple[float, float]:
    """The median and the 99th percentile (of few values: the largest)."""
    return statistics.median(values), sorted(values)[max(0, -(-99 * len(values) // 100) - 1)]


class Comparison:
    """All sides, round after round."""

    def __init__(self, gateway: Gateway, environ: Mapping[str, str]) -> None:
        self._gateway = gateway
        self._environ = environ
        self._count = 0
        self.outcomes: dict[tuple[str, str], Outcome] = {}

    def run_alone(self, *, tokens: int) -> None:
        """In new processes: a cold stream, then another. All sides at once: they mostly wait."""
        workers = {side: Worker(side, self._environ) for side in SIDES}
        try:
            self._stream("cold", workers, streams=1, tokens=tokens // 4)
            self._stream("1", workers, streams=1, tokens=tokens)
        finally:
            for worker in workers.values():
                worker.close()

    def run_crowd(self, streams: int, *, tokens: int) -> None:
        """Many streams at once, so one side after the other."""
        for side in SIDES:
            worker = Worker(side, self._environ)
            try:
                self._stream(str(streams), {side: worker}, streams=streams, tokens=tokens)
            finally:
                worker.close()

    def _stream(self, label: str, workers: Mapping[str, Worker], *, streams: int, tokens: int) -> None:
        named = {side: [self._name() for _ in range(streams)] for side in workers}
        warm = label != "cold"
        with ThreadPoolExecutor(len(workers)) as threads:
            answers = list(threads.map(lambda side: workers[side].stream(named[side], tokens, warm=warm), workers))
        came = self._gateway.take()
        for side, answer in zip(workers, answers, strict=True):
            outcome = self.outcomes.setdefault((label, side), Outcome())
            for name in named[side]:
                if side != NOTHING:
                    outcome.take(answer["said"][name], came[name])
            outcome.cpu_us.append(answer["cpu_s"] / streams / tokens * 1e6)

    def _name(self) -> str:
        self._count += 1
        return f"c{self._count}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=120, help="of an answer")
    parser.add_argument("--quick", action="store_true", help="one short round: to see that it runs")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        with asyncio.Runner() as runner:
            runner.run(obey(options.side))
        return
    rounds, tokens, crowds = (1, 40, (10,)) if options.quick else (options.rounds, options.tokens, CROWDS)
    with tempfile.TemporaryDirectory() as folder, Gateway(Path(folder)) as gateway:
        template = Path(folder, "template.yaml")
        template.write_text(TEMPLATE)
        with Cloud(Path(folder), template=template) as cloud:
            gateway.answer_after(*POST_S)
            comparison = Comparison(gateway, _environ(cloud, gateway))
            for _ in range(rounds):
                comparison.run_alone(tokens=tokens)
            for streams in crowds:
                comparison.run_crowd(streams, tokens=tokens // 2)
    version = ".".join(map(str, sys.version_info[:3]))
    print(f"Answers of {tokens} tokens, 80 a second, over posts of 25 to 80 ms, {rounds} rounds.", end=" ")
    print(f"Python {version} on {os.cpu_count()} cores.")
    times = ["first ms", "p99", "token ms", "p99", "text ms", "p99", "final ms", "p99"]
    head = ["streams", "", "posts/token", *times, "CPU us/token"]
    print_table(head, [outcome.row(*key) for key, outcome in comparison.outcomes.items()])
    alone, ten = comparison.outcomes["1", OURS], comparison.outcomes["10", OURS]
    firsts, ends = [*alone.first_ms, *ten.first_ms], [*alone.final_ms, *ten.final_ms]
    print_verdict("1 and 10 streams: first delta, ms added", measured=statistics.median(firsts), budget=FIRST_BUDGET_MS)
    print_verdict("1 and 10 streams: final frame, ms behind", measured=statistics.median(ends), budget=LAG_BUDGET_MS)


def _environ(cloud: Cloud, gateway: Gateway) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": cloud.status["endpoints"]["aws"],
        "AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI": gateway.url,
        "AWS_CA_BUNDLE": str(gateway.ca),
        "AWS_REGION": cloud.status["region"],
        "AWS_DEFAULT_REGION": cloud.status["region"],
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        "ANSWERS": cloud.status["outputs"]["Answers"],
    }


if __name__ == "__main__":
    main()
