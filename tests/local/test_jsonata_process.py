"""JSONata in processes of their own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest

from localcloud.services.states.queries import Query, QueryFailed
from localcloud.services.states.query_process import ProcessEvaluator

pytestmark = pytest.mark.local


def test_a_process_evaluates_and_no_expression_holds_up_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A regular expression that no clock can interrupt is ended with its process; the next query has another."""

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
            with monkeypatch.context() as patience:
                patience.setattr("localcloud.services.states.query_process._PATIENCE_S", 1.0)  # of one that has begun
                with pytest.raises(QueryFailed, match="exceeded its time or its memory"):
                    await evaluator.evaluate(Query(["$match($x, /(a+)+$/)"], {"x": "a" * 40 + "!"}, 1, 0))
            assert time.monotonic() - began_s < 5
            beside.cancel()
            assert turns > 10
            assert await evaluator.evaluate(Query(["$x"], {"x": {"a": None}}, 1, 0)) == [{"a": None}]
        finally:
            await evaluator.close()

    asyncio.run(main())


def test_machines_in_jsonpath_load_no_engine() -> None:
    """Neither the library nor a process is there until an expression is."""
    program = (
        "import sys; from localcloud.services.states.model import StateMachines; "
        "from localcloud.services.states.validation import check_definition; "
        """text = '{"StartAt": "S", "States": {"S": {"Type": "Pass", "End": true}}}'; """
        "found = check_definition(text, 'STANDARD')[1]; "
        "print(found, 'jsonata' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "[] False\n"


def test_what_is_in_the_folder_does_not_stand_in_for_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processes take nothing from where the local cloud was started."""
    (tmp_path / "json.py").write_text("raise RuntimeError")
    (tmp_path / "jsonata.py").write_text("raise RuntimeError")
    monkeypatch.chdir(tmp_path)

    async def main() -> list[int]:
        evaluator = ProcessEvaluator()
        try:
            return await evaluator.evaluate(Query(["1 + 1"], {}, 1, 0))
        finally:
            await evaluator.close()

    assert asyncio.run(main()) == [2]
