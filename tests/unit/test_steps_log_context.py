"""steps.log_context: ids on every line, and one line for a failed invocation."""

from __future__ import annotations

import asyncio
import json

import pytest

from sluiceway import log
from sluiceway.errors import Rejected
from sluiceway.events.invocation import Invocation
from sluiceway.steps.log_context import log_context, trace_root

TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
PROMPT = "the prompt that nobody may log"


def call(request_id: str = "r", trace_id: str = TRACE) -> Invocation:
    """An invocation with ids."""
    return Invocation(
        request_id=request_id,
        function_name="read_job",
        function_arn="arn",
        deadline=0,
        trace_id=trace_id,
        correlation_id=f"c-{request_id}",
    )


async def test_every_line_carries_the_ids(capsys: pytest.CaptureFixture[str]):
    """Also when two invocations run at once on one loop."""

    async def flow(event: object, _call: Invocation) -> object:
        await asyncio.sleep(0)
        log.info("flow.ran", event=str(event))
        return event

    run = log_context(flow)
    async with asyncio.TaskGroup() as group:
        for name in "ab":
            group.create_task(run(name, call(name)))
    seen = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted((line["event"], line["request_id"], line["correlation_id"]) for line in seen) == [
        ("a", "a", "c-a"),
        ("b", "b", "c-b"),
    ]
    assert {(line["service"], line["trace_id"], line["cold_start"]) for line in seen} == {
        ("read_job", "1-5759e988-bd862e3fe1be46a994272793", False)
    }


async def test_a_failed_invocation_leaves_one_line_without_its_text(capsys: pytest.CaptureFixture[str]):
    """Type and place, at level error; the error goes on to Lambda."""

    async def flow(_event: object, _call: Invocation) -> object:
        raise ValueError(PROMPT)

    with pytest.raises(ValueError):
        await log_context(flow)(None, call())
    out = capsys.readouterr().out
    line = json.loads(out)
    assert (line["level"], line["message"], line["error_type"]) == ("ERROR", "invocation.failed", "ValueError")
    assert PROMPT not in out


async def test_a_rejected_invocation_is_a_warning(capsys: pytest.CaptureFixture[str]):
    """What the client sent is no fault of ours: reason and field, no frames."""

    async def flow(_event: object, _call: Invocation) -> object:
        raise Rejected(PROMPT, reason="invalid-body", field="prompt")

    with pytest.raises(Rejected):
        await log_context(flow)(None, call())
    out = capsys.readouterr().out
    line = json.loads(out)
    assert (line["level"], line["reason"], line["field"]) == ("WARNING", "invalid-body", "prompt")
    assert PROMPT not in out


@pytest.mark.parametrize(
    ("header", "root"),
    [(TRACE, "1-5759e988-bd862e3fe1be46a994272793"), ("Sampled=0; Root=1-a-b", "1-a-b"), ("", ""), ("Self=1-x", "")],
)
def test_the_trace_id_is_the_headers_root(header: str, root: str):
    """Parts come in any order."""
    assert trace_root(header) == root
