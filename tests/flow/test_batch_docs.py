"""The examples of docs/batch.md run as they stand."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from localcloud.clock import run_virtual
from sluiceway.events.sqs import BatchReport, SqsBatch, SqsMessage
from sluiceway.flows.batch import BatchDesk
from tests.fakes import MemoryDeadLetters
from tests.unit.test_app_connections import CONTEXT
from tests.unit.test_codec_kinesis import FIRST, make, wire
from tests.unit.test_codec_sns import envelope
from tests.unit.wire_server import environ

PAGE = Path(__file__).resolve().parents[2] / "docs" / "batch.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def run_block(at: int) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(BLOCKS[at], f"docs/batch.md, block {at}", "exec", dont_inherit=True), names)
    return names


def message(body: str) -> SqsMessage:
    return SqsMessage("m1", "r1", body, {}, 1, 0, "arn:aws:sqs:eu-west-1:123456789012:orders")


def test_the_function_answers_a_partial_batch_response(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first example is a Lambda handler: of three records the second is not there yet."""
    for name, value in {**environ(), "DEAD_LETTERS_URL": "http://127.0.0.1/1/dead"}.items():
        monkeypatch.setenv(name, value)
    handler = run_block(0)["handler"]
    records = [wire(make(data, number=FIRST + at)) for at, data in enumerate((b"{}", b"not yet", b"{}"))]
    try:
        assert handler({"Records": records}, CONTEXT) == {"batchItemFailures": [{"itemIdentifier": str(FIRST + 1)}]}
        assert handler({"Records": records[:1]}, CONTEXT) == {"batchItemFailures": []}
    finally:
        handler.close()


def test_the_functions_test_passes_and_can_fail() -> None:
    """The last example, with the names of the first one: a flow that hands nothing back does not pass it."""
    names = run_block(0)
    code = compile(BLOCKS[-1], "docs/batch.md, the last block", "exec", dont_inherit=True)
    exec(code, names)
    names["test_an_order_that_is_not_there_yet_comes_again"]()

    async def index_nothing(*_: object) -> BatchReport:
        return BatchReport(())

    names["index_orders"] = index_nothing
    with pytest.raises(AssertionError):
        names["test_an_order_that_is_not_there_yet_comes_again"]()


def test_records_are_typed() -> None:
    """The second: a good order is done, a bad one is poison that names the field, a large one goes back."""
    names = run_block(1)
    letters = MemoryDeadLetters()
    bodies = ['{"id": "o1", "total": 5}', '{"id": "o1", "total": "SECRET"}', '{"id": "o1", "total": 5000}']
    messages = tuple(message(body)._replace(message_id=f"m{at}") for at, body in enumerate(bodies))
    failed = run_virtual(lambda: names["take_all"](SqsBatch(messages), BatchDesk(letters), float("inf")))
    assert failed == ("m2",)
    (letter,) = letters.letters
    assert (letter.body, letter.reason) == (bodies[1], "invalid-content")
    assert letter.detail == "the content is not valid at total: int_parsing"


def test_notifications_are_typed() -> None:
    """And what was published to a topic, in the envelope of a queue's message."""
    names = run_block(1)
    carried = message(json.dumps(envelope('{"id": "o1", "total": 5}')))
    assert run_virtual(lambda: names["take_published"](carried)) is None
    with pytest.raises(AssertionError):
        run_virtual(lambda: names["take_published"](message(json.dumps(envelope('{"id": "o1", "total": 5000}')))))
