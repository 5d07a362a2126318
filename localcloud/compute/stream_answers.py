"""What a function's answer to a batch of a stream says of its records. Pure.

Sources: https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html,
https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from localcloud.compute.functions import InvokeResult
from localcloud.compute.stream_batches import encode_json
from localcloud.json_text import parse_json

__all__ = ["Answer", "read_answer"]


@dataclass(frozen=True, slots=True)
class Answer:
    """`done`: how many records from the batch's first on succeeded. `state`: the window's new one, as JSON."""

    ok: bool
    done: int = 0
    state: bytes | None = None


_FAILED = Answer(ok=False)


def read_answer(result: InvokeResult, sequences: Sequence[str], *, report: bool, windowed: bool) -> Answer:
    """Read an answer to the records with these sequence numbers.

    `report`: the mapping has ReportBatchItemFailures. Nothing named is success: no answer, null, no list, an empty
    list; of what is named the lowest counts; an entry that names nothing, or a record that was not in the batch, fails
    the batch. `windowed`: the answer must have a `state`, an object, or the batch failed.
    """
    if result.function_error:
        return _FAILED
    if not report and not windowed:
        return Answer(ok=True, done=len(sequences))
    members = _read_members(result.payload)
    state: Any = members.get("state") if members is not None else None
    if members is None or (windowed and not isinstance(state, dict)):
        return _FAILED
    done = _first_failure(members.get("batchItemFailures"), sequences) if report else len(sequences)
    if done is None:
        return _FAILED
    kept = encode_json(cast("dict[str, Any]", state)) if windowed else None
    return Answer(ok=done == len(sequences), done=done, state=kept)


def _read_members(payload: bytes) -> dict[str, Any] | None:
    """The answer's members, none for no answer or null; None where it is no object."""
    try:
        answer: Any = parse_json(payload) if payload else None
    except ValueError:
        return None
    if answer is None:
        return {}
    return cast("dict[str, Any]", answer) if isinstance(answer, dict) else None


def _first_failure(failures: Any, sequences: Sequence[str]) -> int | None:
    """The place of the lowest record named, all for none; None where the list names what is not there."""
    if failures is None:
        return len(sequences)
    if not isinstance(failures, list):
        return None
    places = {sequence: place for place, sequence in reversed(list(enumerate(sequences)))}
    lowest = len(sequences)
    for entry in cast("list[Any]", failures):
        name: Any = cast("dict[str, Any]", entry).get("itemIdentifier") if isinstance(entry, dict) else None
        place = places.get(name) if isinstance(name, str) else None
        if place is None:
            return None
        lowest = min(lowest, place)
    return lowest
