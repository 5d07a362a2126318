"""JSONata in processes of their own."""

from __future__ import annotations

import asyncio
import time

import pytest

from localcloud.services.states.queries import Query, QueryFailed
from localcloud.services.states.query_process import ProcessEvaluator

pytestmark = pytest.mark.local


def test_a_process_evaluates_and_no_expression_holds_up_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A regular expression that no clock can interrupt is ended with its process; the next query has another."""
    monkeypatch.setattr("localcloud.services.states.query_process._PATIENCE_S", 1.0)

    async def main() -> None:
        evaluator = ProcessEvaluator()
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0.01)
                turns += 1

        try:
            assert await evaluator.evaluate(Query(["$x + 1"], {"x": 1}, 1, 0)) == [2]
            beside = asyncio.ensure_future(turn())
            began_s = time.monotonic()
            with pytest.raises(QueryFailed, match="exceeded its time or its memory"):
                await evaluator.evaluate(Query(["$match($x, /(a+)+$/)"], {"x": "a" * 40 + "!"}, 1, 0))
            assert time.monotonic() - began_s < 5
            beside.cancel()
            assert turns > 10
            assert await evaluator.evaluate(Query(["$x"], {"x": {"a": None}}, 1, 0)) == [{"a": None}]
        finally:
            await evaluator.close()

    asyncio.run(main())
