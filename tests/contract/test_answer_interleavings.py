"""Drawn interleavings of workers, readers, cancels, expiries and trouble: both answer stores agree after every step.

Workers keep what they saw and go on with it long after others have taken over; a write breaks off between its two
halves, or its answer is lost and it is asked again; copies of old writes of text arrive late.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, multiple, rule

from sluiceway.aws.answers import DynamoDbAnswerStore
from sluiceway.aws.dynamodb import Table
from sluiceway.errors import Rejected, Retryable
from sluiceway.ports import AnswerRecord, AnswerStore, Reader
from tests.contract.answer_tables import ANSWERS, Post, local_tables
from tests.contract.test_answer_stores import QUESTION, SetClock, begun
from tests.fakes_streaming import MemoryAnswerStore

REQS = st.sampled_from(["r1", "r10"])
CONNECTIONS = st.sampled_from([f"c{number}=" for number in range(10)])
PIECES = st.text(alphabet="ab 🌊\u0301", max_size=6)
SHARES = st.sampled_from([0.0, 0.5, 0.8, 1.0, 1.0])
TROUBLES = st.sampled_from(["", "", "", "twice", "broken before", "broken between", "lost"])
Ask = Callable[[AnswerStore], Awaitable[object]]


class Stores(RuleBasedStateMachine):
    """The memory store and the DynamoDB store, asked the same. `workers` are records that somebody still goes by."""

    workers: Bundle[AnswerRecord] = Bundle("workers")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = SetClock()
        self.post = Post(local_tables())
        self.memory = MemoryAnswerStore(clock=self.clock)
        self.dynamo = DynamoDbAnswerStore(Table(self.post, ANSWERS), self.clock)
        self.spoken: dict[tuple[object, ...], str] = {}
        self.known: list[AnswerRecord] = []
        self.names = 0

    def teardown(self) -> None:
        self.runner.close()

    # ------------------------------------------------------------ how both are asked

    def both(self, ask: Ask, trouble: str = "", *, calls: int = 1) -> Any:
        """The outcome of both, which is the same; `calls` is how many a whole one makes of the table."""
        memory, post = self.memory.trouble, self.post
        post.twice = trouble == "twice"
        if trouble == "broken before":
            post.break_before = memory.next_before = 1
        elif trouble == "broken between" and calls > 1:
            post.break_before, memory.next_before = calls, 1
        elif trouble == "lost":
            post.lose_after, memory.next_after = calls, 1
        outcomes = [self.runner.run(_outcome(ask(store))) for store in (self.memory, self.dynamo)]
        memory.next_before = memory.next_after = post.break_before = post.lose_after = 0
        post.twice = False
        assert outcomes[0] == outcomes[1]
        self.look()
        return outcomes[0]

    def look(self) -> None:
        """Records, questions and texts are the same, those of records seen long ago too."""
        for req in ("r1", "r10"):
            found = [self.runner.run(store.get("ann", req)) for store in (self.memory, self.dynamo)]
            assert found[0] == found[1]
            if found[0] is not None:
                self.known = [*self.known[-5:], found[0]]
        for record in self.known:
            texts = [self.runner.run(_outcome(store.read_text(record))) for store in (self.memory, self.dynamo)]
            assert texts[0] == texts[1]
            assert isinstance(texts[0], str)
            assert len(texts[0]) == record.off
            asked = [self.runner.run(_outcome(store.read_question(record))) for store in (self.memory, self.dynamo)]
            assert asked[0] == asked[1]

    # ------------------------------------------------------------ what happens

    @initialize(target=workers, req=REQS)
    def begin(self, req: str) -> Any:
        """There is something to work on."""
        return self.create(req, 10)

    @rule(target=workers, req=REQS, life_s=st.sampled_from([1, 10]))
    def create(self, req: str, life_s: int) -> Any:
        """Asked; perhaps anew, where the answer before has expired."""
        now_ms = self.clock.now_ms()
        self.names += 1
        asked = AnswerRecord(
            "ann", req, "asked", f"{self.names}", now_ms, now_ms, expires_s=now_ms // 1000 + life_s,
        )  # fmt: skip
        found = self.both(lambda store: store.create(asked, QUESTION))
        return multiple(asked) if found is None else multiple()

    @rule(target=workers, seen=workers, share=SHARES, pieces=st.lists(PIECES, max_size=2), trouble=TROUBLES)
    def claim(self, seen: AnswerRecord, share: float, pieces: list[str], trouble: str) -> Any:
        """Another attempt, with what was seen now or long ago; if it is made, it says something."""
        self.names += 1
        record = replace(begun(seen, f"w{self.names}", at=round(seen.off * share)), updated_ms=self.clock.now_ms())
        stored = self.both(lambda store: store.replace(record, seen=seen), trouble)
        if not isinstance(stored, AnswerRecord):
            return multiple()
        said = self.say_on(stored, pieces)
        return multiple(stored, said) if isinstance(said, AnswerRecord) else multiple(stored)

    @rule(target=workers, seen=workers, pieces=st.lists(PIECES, max_size=2), trouble=TROUBLES)
    def say(self, seen: AnswerRecord, pieces: list[str], trouble: str) -> Any:
        """More text, of an attempt that is the latest, or was."""
        stored = self.say_on(seen, pieces, trouble) if seen.attempt else None
        return multiple(stored) if isinstance(stored, AnswerRecord) else multiple()

    def say_on(self, seen: AnswerRecord, pieces: list[str], trouble: str = "") -> Any:
        """What an attempt says from an offset on is settled: a second try may only say more of it."""
        voice = (seen.req, seen.created_ms, seen.attempt)
        said = self.spoken.get(voice, "")
        start = seen.off - seen.starts[-1]
        self.spoken[voice] = said = said if len(said) > start else said + "".join(pieces)
        text = said[start:]
        record = replace(seen, off=seen.off + len(text), updated_ms=self.clock.now_ms())
        calls = 2 if text else 1
        return self.both(lambda store: store.replace(record, seen=seen, text=text), trouble, calls=calls)

    @rule(seen=workers, state=st.sampled_from(["finished", "failed", "paused"]), trouble=TROUBLES)
    def end(self, seen: AnswerRecord, state: str, trouble: str) -> None:
        """With a problem and a usage, and asked twice over by the worker itself."""
        record = replace(seen, state=state, problem={"title": state}, usage={"output_tokens": seen.off})
        first = self.both(lambda store: store.replace(record, seen=seen), trouble)
        if first is Retryable:
            self.both(lambda store: store.replace(record, seen=seen))

    @rule(target=workers, seen=consumes(workers))
    def look_again(self, seen: AnswerRecord) -> Any:
        """Somebody reads the record and goes by that."""
        found = self.both(lambda store: store.get("ann", seen.req))
        return multiple(found) if isinstance(found, AnswerRecord) else multiple()

    @rule(req=REQS, connection=CONNECTIONS, generation=st.integers(1, 3), off=st.integers(0, 9), trouble=TROUBLES)
    def attach(self, req: str, connection: str, generation: int, off: int, trouble: str) -> None:
        """A reader comes, or comes again."""
        self.both(lambda store: store.attach("ann", req, Reader(connection, generation, off, 1)), trouble)

    @rule(req=REQS, first=st.integers(0, 9), number=st.integers(1, 9))
    def attach_many(self, req: str, first: int, number: int) -> None:
        """Tabs and devices of one person, too many perhaps."""
        for each in range(number):
            reader = Reader(f"c{(first + each) % 10}=", 2)
            self.both(lambda store, reader=reader: store.attach("ann", req, reader))

    @rule(req=REQS, connection=CONNECTIONS, generation=st.integers(1, 3), trouble=TROUBLES)
    def detach(self, req: str, connection: str, generation: int, trouble: str) -> None:
        """A reader goes, or went long ago."""
        self.both(lambda store: store.detach("ann", req, Reader(connection, generation)), trouble)

    @rule(req=REQS, trouble=TROUBLES)
    def cancel(self, req: str, trouble: str) -> None:
        """Enough."""
        self.both(lambda store: store.cancel("ann", req), trouble)

    @rule(chosen=st.integers(0, 10**6))
    def a_piece_arrives_late(self, chosen: int) -> None:
        """A copy of a write of text that was under way for long."""
        puts = [body for name, body in self.post.calls if name == "PutItem" and "#t#" in body["Item"]["item"]["S"]]
        if puts:
            self.runner.run(self.post.deliver_again("PutItem", puts[chosen % len(puts)]))
            self.look()

    @rule(passed_ms=st.sampled_from([1, 400, 1000, 1000, 5000]))
    def time_passes(self, passed_ms: int) -> None:
        """Records expire."""
        self.clock.at_ms += passed_ms
        self.look()


async def _outcome(asked: Awaitable[object]) -> object:
    """What was answered, or what kind of refusal it was."""
    try:
        return await asked
    except Retryable:
        return Retryable
    except Rejected as error:
        return error.reason


TestStores = Stores.TestCase
TestStores.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
