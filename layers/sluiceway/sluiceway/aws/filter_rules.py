"""The port of filter rules on AWS: one DynamoDB table, each topic's rules together, what has changed in an index.

Owns how a topic's version is counted: every write is one transaction of the rule and the topic's head, so whoever reads
the head's version finds everything up to it in the index, strongly consistent. Must not know what a rule means.
The table's key is `topic` and `rule_id`, its TTL attribute `expires_s`; the local index `by_change` has the key `topic`
and `changed` (a number) and projects everything. A rule that was removed leaves a trace for two days.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final, cast

from sluiceway.aws.attributes import Value, encode_item, read_integer, read_text
from sluiceway.aws.dynamodb import DYNAMODB, Expression, QueryRequest, Table
from sluiceway.aws.wire import Caller
from sluiceway.errors import Rejected, Retryable, ServiceRefused
from sluiceway.ports import Clock
from sluiceway.ports.filtering import RuleChanges
from sluiceway.rules.filtering import FilterRule, parse_rule, write_rule

__all__ = ["INDEX", "TRACE_S", "DynamoDbFilterRuleStore"]

INDEX: Final = "by_change"
HEAD: Final = "#head"  # the rule_id of the item that has the topic's version; no rule has this id
TRIES: Final = 10  # of a write that others overtake
TRACE_S: Final = 2 * 86_400
_CANCELLED: Final = "TransactionCanceledException"


class DynamoDbFilterRuleStore:
    """Rules in one table. Raises what `Table` raises."""

    def __init__(self, caller: Caller, table_name: str, clock: Clock) -> None:
        self._caller = caller
        self._table = Table(caller, table_name)
        self._clock = clock

    async def put(self, rule: FilterRule) -> FilterRule:
        """As the port says. A write that was made, and whose answer was lost, is found to be so."""
        wanted = parse_rule({**write_rule(rule), "version": rule.version + 1})
        item = cast("dict[str, Value]", write_rule(wanted))
        for _ in range(TRIES):
            version = await self._version(rule.topic)
            if await self._write(item, version, seen=rule.version):
                return wanted
            kept = await self._item(rule.topic, rule.rule_id)
            if kept is not None and _members(kept) == item:
                return wanted
            found = 0 if kept is None else read_integer(kept, "version")
            if found != rule.version:
                why = f"version {found} of the rule is kept, and {rule.version} was to be replaced"
                raise Rejected(why if found else "no such rule is kept", reason="conflict", field="version")
        raise Retryable("the topic's rules are being written by many")

    async def remove(self, topic: str, rule_id: str) -> None:
        """As the port says."""
        for _ in range(TRIES):
            version = await self._version(topic)
            kept = await self._item(topic, rule_id)
            if kept is None:
                return
            seen = read_integer(kept, "version")
            trace: dict[str, Value] = {
                "topic": topic,
                "rule_id": rule_id,
                "version": seen,
                "removed": True,
                "expires_s": self._clock.now_ms() // 1000 + TRACE_S,
            }
            if await self._write(trace, version, seen=seen):
                return
        raise Retryable("the topic's rules are being written by many")

    async def get(self, topic: str, rule_id: str) -> FilterRule | None:
        """As the port says."""
        kept = await self._item(topic, rule_id)
        return None if kept is None else parse_rule(_members(kept))

    async def changes(self, topic: str, since: int) -> RuleChanges:
        """As the port says: one read where nothing has changed."""
        version = await self._version(topic)
        if version == 0:
            return RuleChanges(0, is_whole=True)
        if version == since:
            return RuleChanges(version)
        is_whole = not 0 < since < version
        rules: list[FilterRule] = []
        removed: list[str] = []
        wrong: dict[str, str] = {}
        for item in await self._changed(topic, 0 if is_whole else since):
            version = max(version, read_integer(item, "changed"))
            rule_id = read_text(item, "rule_id")
            if item.get("removed") is True:
                removed.append(rule_id)
                continue
            try:
                rules.append(parse_rule(_members(item)))
            except Rejected as error:
                wrong[rule_id] = f"{error.reason} {error.field}"
        return RuleChanges(version, tuple(rules), tuple(removed), wrong, is_whole)

    async def _changed(self, topic: str, since: int) -> list[dict[str, Value]]:
        key = Expression(
            "#topic = :topic AND #changed > :since",
            names={"#topic": "topic", "#changed": "changed"},
            values={":topic": topic, ":since": since},
        )
        return await self._table.query_all(QueryRequest(key, index=INDEX, consistent=True))

    async def _version(self, topic: str) -> int:
        head = await self._table.get_item({"topic": topic, "rule_id": HEAD})
        return 0 if head is None else read_integer(head, "head")

    async def _item(self, topic: str, rule_id: str) -> dict[str, Value] | None:
        item = await self._table.get_item({"topic": topic, "rule_id": rule_id})
        return None if item is None or item.get("removed") is True else item

    async def _write(self, item: Mapping[str, Value], version: int, *, seen: int) -> bool:
        """Whether the transaction was made: the rule is as seen, and nobody has counted the version up."""
        rule = Expression(
            "(attribute_not_exists(#version) OR #removed = :yes)" if seen == 0 else "#version = :seen",
            names={"#version": "version", "#removed": "removed"} if seen == 0 else {"#version": "version"},
            values={":yes": True} if seen == 0 else {":seen": seen},
        )
        head = Expression(
            "attribute_not_exists(#head)" if version == 0 else "#head = :head",
            names={"#head": "head"},
            values={} if version == 0 else {":head": version},
        )
        writes = [
            ({**item, "changed": version + 1}, rule),
            ({"topic": item["topic"], "rule_id": HEAD, "head": version + 1}, head),
        ]
        request = {"TransactItems": [self._put(each, condition) for each, condition in writes]}
        try:
            await self._caller.call(DYNAMODB, "TransactWriteItems", request)
        except ServiceRefused as error:
            if error.code != _CANCELLED:
                raise
            return False
        return True

    def _put(self, item: Mapping[str, Value], condition: Expression) -> Mapping[str, object]:
        put: dict[str, object] = {
            "TableName": self._table.name,
            "Item": encode_item(item),
            "ConditionExpression": condition.text,
            "ExpressionAttributeNames": dict(condition.names),
        }
        if condition.values:
            put["ExpressionAttributeValues"] = encode_item(condition.values)
        return {"Put": put}


def _members(item: Mapping[str, Value]) -> dict[str, object]:
    """What a rule has of an item, its own attributes left out."""
    return {name: _whole(value) for name, value in item.items() if name not in {"changed", "removed", "expires_s"}}


def _whole(value: Value) -> object:
    """Numbers as JSON has them: a version that somebody wrote with a fraction is still no whole number."""
    return float(value) if isinstance(value, Decimal) else value
