"""The examples of docs/idempotency.md run as they stand, and its tables name what there is."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import sluiceway.idempotency
from localcloud.clock import run_virtual
from sluiceway.events.sqs import SqsBatch, SqsMessage
from sluiceway.flows.batch import BatchDesk
from sluiceway.idempotency import Options
from sluiceway.idempotency.memory import MemoryIdempotencyStore
from tests.contract.idempotency_tables import TABLE, serve_local
from tests.fakes import MemoryDeadLetters
from tests.unit.test_app_connections import CONTEXT
from tests.unit.test_codec_rest import event
from tests.unit.wire_server import environ

PAGE = Path(__file__).resolve().parents[2] / "docs" / "idempotency.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
ARN = "arn:aws:sqs:eu-west-1:123456789012:orders"


def run_block(at: int) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(BLOCKS[at], f"docs/idempotency.md, block {at}", "exec", dont_inherit=True), names)
    return names


def test_the_function_answers_a_repeat_with_the_first_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three POSTs: the second is replayed, one with another body is refused with its reason."""
    body = {"sku": "a"}
    with serve_local() as address:
        for name, value in {**environ(AWS_ENDPOINT_URL=address), "IDEMPOTENCY_TABLE": TABLE}.items():
            monkeypatch.setenv(name, value)
        handler = run_block(0)["handler"]

        def post(body: object, request_id: str) -> Any:
            return handler(
                event(
                    requestContext={"requestId": request_id, "authorizer": {"principalId": "caller-1"}},
                    headers={"Idempotency-Key": "k1"},
                    multiValueHeaders={"Idempotency-Key": ["k1"]},
                    body=json.dumps(body),
                    isBase64Encoded=False,
                ),
                CONTEXT,
            )

        try:
            first = post(body, "r1")
            assert first["statusCode"] == 201
            assert first["body"] == "order taken with request r1"
            assert post(body, "r2") == first
            refused = post({"sku": "b"}, "r3")
            assert refused["statusCode"] == 409
            assert json.loads(refused["body"])["type"] == "/problems/idempotency-key-reused"
        finally:
            handler.close()


def test_the_batch_takes_each_order_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Two deliveries of one batch: the work is done in the first only."""
    names, store = run_block(1), MemoryIdempotencyStore()
    messages = tuple(SqsMessage(f"m{at}", f"r{at}", json.dumps({"id": at}), {}, 1, 0, ARN) for at in range(3))

    async def main() -> None:
        call = names["Invocation"]("r", "shop", "arn", 30.0)
        for _ in range(2):
            report = await names["take_orders"](SqsBatch(messages), call, BatchDesk(MemoryDeadLetters()), store)
            assert report.failed == ()

    run_virtual(main)
    assert capsys.readouterr().out.count("taking") == 3


def test_outcomes_are_described() -> None:
    """Fresh, replayed and a conflict."""
    names = run_block(2)

    async def main() -> list[str]:
        order = {"customer": {"id": 1}, "order": 7, "total": 5}
        return [await names["describe"](event) for event in (order, order, {**order, "total": 6})]

    assert run_virtual(main) == ["paid 5", "paid 5", "another total"]


def test_every_option_is_in_the_table_with_its_default() -> None:
    """No option is left out, and the defaults are those of the code."""
    table = TEXT.partition("## Options")[2].partition("\n\nWho waits")[0]
    rows = re.findall(r"^\| (`.+?) \| (.+?) \|", table, re.MULTILINE)
    named = {name: default for names, default in rows for name in re.findall(r"`(\w+)`", names)}
    assert set(named) == {field.name for field in fields(Options)}
    for name in ("keep_s", "lease_s", "skew_s", "wait_s", "store_timeout_s", "when_away", "after_crash", "digest"):
        value = getattr(Options(), name)
        assert named[name].strip("`").replace(",", "") == (f"{value:g}" if isinstance(value, float) else value)


def test_every_outcome_is_in_the_table() -> None:
    """And every error that is made of one."""
    for name in set(sluiceway.idempotency.__all__) - {"Guard", "Options", "idempotent", "idempotent_flow"}:
        assert f"`{name}" in TEXT, name
