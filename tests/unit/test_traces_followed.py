"""A recorder that follows all: calls and messages that name no trace are seen, and nothing is written into them."""

from __future__ import annotations

import asyncio
import json
import random

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.services.contract import WireRequest, WireResponse
from localcloud.services.sqs.message import Content
from localcloud.services.sqs.model import Queues
from localcloud.traces.calls import CallSpans
from localcloud.traces.header import read_parent, read_root
from localcloud.traces.queues import QueueSpans
from localcloud.traces.recorder import Recorder

REGION = "us-east-1"


class Post:
    """A queue with dead letters after two receives, sent to by a call of the API."""

    def __init__(self) -> None:
        clock = LoopClock(asyncio.get_running_loop())
        self.recorder = Recorder(clock=clock, rng=random.Random(1))
        self.recorder.follows_all = True
        self.spans = QueueSpans(self.recorder)
        self.queues = Queues(clock=clock, rng=random.Random(3), watch=self.spans)
        self.spans.is_dead_letters = self.queues.takes_dead_letters
        dead = self.queues.create("dead", REGION, attributes={}, tags={})
        redrive = json.dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": 2})
        self.jobs = self.queues.create(
            "jobs", REGION, attributes={"RedrivePolicy": redrive, "VisibilityTimeout": "30"}, tags={}
        )

    async def answer(self, _: WireRequest) -> WireResponse:
        await self.jobs.send(Content("x"))
        return WireResponse(200)

    async def call(self) -> None:
        request = WireRequest(
            service="sqs",
            region=REGION,
            method="POST",
            path="/",
            query="",
            headers={"x-amz-target": "AmazonSQS.SendMessage"},
            body=b"{}",
            access_key="AK",
            request_id="1",
        )
        await CallSpans(self.recorder).watch(request, self.answer)


@pytest.mark.parametrize("by_call", [True, False])
def test_a_message_is_in_one_trace_from_its_call_to_the_dead_letters(by_call: bool) -> None:
    """Each receive and the move at the end are in the trace of the call that sent it, or else in one of its own."""

    async def main() -> None:
        post = Post()
        await (post.call() if by_call else post.jobs.send(Content("x")))
        headers = list[str]()
        for _ in range(3):
            for message in await post.jobs.receive(10):
                assert message.system.get("AWSTraceHeader") is None
                headers.append(post.spans.header_of(message))
            await asyncio.sleep(31)
        (trace,) = post.recorder.latest(5)
        told = [(span.kind, span.name, span.failed) for span in post.recorder.spans_of(trace)]
        call = [("call", "SQS SendMessage", False)] if by_call else []
        assert told == [*call, ("queue", "jobs", False), ("queue", "jobs", False), ("queue", "dead", True)]
        assert {read_root(header) for header in headers} == {trace.id}
        queued = [span.id for span in post.recorder.spans_of(trace) if span.kind == "queue"]
        assert [read_parent(header) for header in headers] == queued[:2]

    run_virtual(main)
