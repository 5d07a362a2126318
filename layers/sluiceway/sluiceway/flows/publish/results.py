"""What became of each record of a request: its receipt, or why there is none; and how both are kept and told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias, cast, get_args

from sluiceway.errors import Misconfigured, Rejected
from sluiceway.events.http import describe_problem
from sluiceway.flows.publish.records import NotPut, Receipt

__all__ = ["Failure", "Result", "describe", "dump_results", "fail", "is_certain", "is_final", "load_results"]

Why = Literal["throttled", "not-stored", "perhaps-stored", "refused", "unavailable"]
TITLES: Final[Mapping[Why, str]] = {
    "throttled": "The stream takes no more at the moment; the record is not stored",
    "not-stored": "The record was not stored in time",
    "perhaps-stored": "The answer was lost; the record may be stored",
    "refused": "The stream does not take the record",
    "unavailable": "The topic cannot be written now; the record is not stored",
}


class Failure(NamedTuple):
    """A record without a receipt."""

    why: Why


Result: TypeAlias = Receipt | Failure


def fail(error: BaseException) -> Failure:
    """What a record's error means for whoever sent it. Raises errors that are none of a record's."""
    if isinstance(error, NotPut):
        if error.perhaps_put:
            return Failure("perhaps-stored")
        return Failure("throttled" if error.throttled else "not-stored")
    if isinstance(error, Misconfigured):
        return Failure("unavailable")
    if isinstance(error, Rejected):
        return Failure("refused")
    raise error


def is_final(result: Result) -> bool:
    """Whether a repeat has nothing to do for it: it is stored, or never will be."""
    return isinstance(result, Receipt) or result.why == "refused"


def is_certain(result: Result) -> bool:
    """Whether it is certain that the record is not stored, and a repeat may store it."""
    return isinstance(result, Failure) and result.why in {"throttled", "not-stored", "unavailable"}


def describe(result: Result) -> Mapping[str, object]:
    """The entry of an answer: `{"shard","seq"}`, with `sub` in an aggregate, or `{"problem"}`."""
    if isinstance(result, Failure):
        return {"problem": describe_problem(result.why, TITLES[result.why])}
    members: dict[str, object] = {"shard": result.shard_id, "seq": result.sequence_number}
    return members if result.sub_sequence is None else {**members, "sub": result.sub_sequence}


def dump_results(results: Sequence[Result]) -> list[object]:
    """As JSON values, short: 500 receipts of 100 bytes have to fit into an item of DynamoDB."""
    return [[*result] for result in results]


def load_results(stored: object) -> list[Result]:
    """The results again. Raises ValueError for anything else."""
    if not isinstance(stored, list):
        raise ValueError("no list of results")  # noqa: TRY004 - it is the data that is wrong
    return [_load(each) for each in cast("list[object]", stored)]


def _load(stored: object) -> Result:
    match stored:
        case [str() as why] if why in get_args(Why):
            return Failure(cast("Why", why))
        case [str() as shard_id, str() as sequence_number, (int() | None) as sub]:
            return Receipt(shard_id, sequence_number, sub)
        case _:
            raise ValueError("neither a receipt nor a failure")
