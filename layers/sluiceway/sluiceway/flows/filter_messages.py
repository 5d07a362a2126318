"""What filtering sends: one message for each record and rule that match, the same one whenever they meet again.

Owns the message's id and form (docs/filtering.md). A record that a rule shows whole leaves with the text that it came
with; of any other, the key that orders it is a pseudonym, since it may be what is hidden. Must not know destinations.
"""

from __future__ import annotations

import json
from typing import Final

from sluiceway.errors import Rejected
from sluiceway.events.kinesis import KinesisRecord
from sluiceway.ports.filtering import Outgoing
from sluiceway.rules.rule_set import Match

__all__ = ["write_message"]

_write: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
_BARE: Final = frozenset({"sqs", "sns"})  # which have attributes of their own for what is said of a record


def _name_message(record: KinesisRecord, rule_id: str) -> str:
    """`<shard>:<sequence number>:<place in the aggregate, or nothing>:<rule>`."""
    sub = "" if record.sub_sequence is None else record.sub_sequence
    return f"{record.shard_id}:{record.sequence_number}:{sub}:{rule_id}"


def write_message(record: KinesisRecord, match: Match) -> Outgoing:
    """The message of a record to one rule's destination.

    Raises: Rejected (`unwritable-record`) for what cannot be written as JSON: a number beyond any double.
    """
    rule = match.rule
    attributes = {
        "message_id": _name_message(record, rule.rule_id),
        "topic": rule.topic,
        "rule": rule.rule_id,
        "shard": record.shard_id,
        "sequence_number": record.sequence_number,
        **({} if record.sub_sequence is None else {"sub_sequence": str(record.sub_sequence)}),
        "arrived_ms": str(record.arrived_ms),
    }
    data = _write_data(record, match)
    if rule.destination.kind not in _BARE:
        metadata: dict[str, object] = {**attributes, "arrived_ms": record.arrived_ms}
        if record.sub_sequence is not None:
            metadata["sub_sequence"] = record.sub_sequence
        data = f'{{"metadata":{_write(metadata)},"data":{data}}}'
    else:  # SQS and SNS take no noncharacters; JSON has them in strings only, where their escapes mean the same
        data = data.replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")
    return Outgoing(attributes["message_id"], _key(record, match), data, attributes, record.arrived_ms)


def _write_data(record: KinesisRecord, match: Match) -> str:
    if match.rule.shows_all:
        text = record.data.decode()
        if match.rule.destination.kind == "s3":  # a line each; between tokens alone has JSON ends of lines
            text = text.replace("\r", " ").replace("\n", " ")
        return text
    try:
        # Half a surrogate pair stands in a JSON string only, where the handler writes its escape.
        return _write(match.shown).encode("utf-8", "backslashreplace").decode()
    except (ValueError, TypeError, RecursionError):
        raise Rejected("the record cannot be written as JSON", reason="unwritable-record") from None


def _key(record: KinesisRecord, match: Match) -> str:
    rule = match.rule
    if rule.shows_all or not (rule.destination.kind == "stream" or rule.destination.is_fifo):
        return record.partition_key
    return match.plan.pseudonym(f"{rule.topic}/partition-key", record.partition_key)
