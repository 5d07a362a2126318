"""The port of subscriptions on AWS: one DynamoDB table, a connection's subscriptions together, topics in an index.

Owns the conditions that keep a later subscription from being undone by an earlier one's end. Must not know patterns.
The table's key is `connection_id` and `topic`, its TTL attribute `expires_s`; the index `by_topic` has the key `topic`
and `connection_id` and projects everything. `topic` is a part's name (`orders`, `orders#1`, ...): so a topic's
subscribers are not one partition of the index, and each part is read by whoever serves it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sluiceway.aws.attributes import Value, read_integer, read_text
from sluiceway.aws.dynamodb import Expression, QueryRequest, Table
from sluiceway.errors import ConditionFailed, Rejected
from sluiceway.ports import MAX_SUBSCRIPTIONS, Subscription
from sluiceway.rules.topics import name_part, part_of, topic_of

__all__ = ["DynamoDbSubscriptionStore"]

INDEX: Final = "by_topic"
_GENERATION: Final = {"#generation": "generation"}


class DynamoDbSubscriptionStore:
    """Subscriptions in one table, those of a topic in `parts` parts. Raises what `Table` raises."""

    def __init__(self, table: Table, parts: int = 1) -> None:
        self._table = table
        self._parts = parts

    @property
    def parts(self) -> int:
        """As `PartedSubscriptions` says."""
        return self._parts

    async def put(self, subscription: Subscription) -> None:
        """As the port says. The bound is looked at afterwards, so that nobody passes it by asking at once."""
        newest = Expression(
            "attribute_not_exists(#generation) OR #generation <= :generation",
            names=_GENERATION,
            values={":generation": subscription.generation},
        )
        name = self._name(subscription.connection_id, subscription.topic)
        try:
            await self._table.put_item(_write(subscription, name), condition=newest)
        except ConditionFailed:
            return
        kept = await self._names(subscription.connection_id)
        if len({topic_of(each) for each in kept}) > MAX_SUBSCRIPTIONS:
            await self.drop(subscription)
            raise Rejected(f"a connection has {MAX_SUBSCRIPTIONS} subscriptions", reason="too-many-subscriptions")
        for other in kept:  # of when a topic had another number of parts
            if other != name and topic_of(other) == subscription.topic:
                await self._delete(subscription.connection_id, other)

    async def remove(self, connection_id: str, topic: str) -> None:
        """As the port says."""
        await self._delete(connection_id, self._name(connection_id, topic))
        for name in await self._names(connection_id) if self._parts > 1 else ():
            if topic_of(name) == topic:
                await self._delete(connection_id, name)

    async def drop(self, subscription: Subscription) -> None:
        """As the port says."""
        same = Expression(
            "#generation = :generation", names=_GENERATION, values={":generation": subscription.generation}
        )
        name = self._name(subscription.connection_id, subscription.topic)
        try:
            await self._table.delete_item(_key(subscription.connection_id, name), condition=same)
        except ConditionFailed:
            return

    async def forget(self, connection_id: str) -> None:
        """As the port says."""
        for name in await self._names(connection_id):
            await self._delete(connection_id, name)

    async def of_topic(self, topic: str) -> tuple[Subscription, ...]:
        """As the port says: an index is eventually consistent, usually by milliseconds."""
        found = [each for part in range(self._parts) for each in await self.of_part(topic, part)]
        return tuple(found if self._parts == 1 else sorted(found, key=lambda each: each.connection_id))

    async def of_part(self, topic: str, part: int) -> tuple[Subscription, ...]:
        """As `PartedSubscriptions` says."""
        name = name_part(topic, part)
        key = Expression("#topic = :topic", names={"#topic": "topic"}, values={":topic": name})
        found = map(_read, await self._table.query_all(QueryRequest(key, index=INDEX)))
        return tuple(each for each in found if each is not None)

    def _name(self, connection_id: str, topic: str) -> str:
        return name_part(topic, part_of(connection_id, self._parts))

    async def _delete(self, connection_id: str, name: str) -> None:
        await self._table.delete_item(_key(connection_id, name))

    async def _names(self, connection_id: str) -> list[str]:
        """What the connection has subscribed, strongly consistent; at most a few more than MAX_SUBSCRIPTIONS."""
        key = Expression(
            "#connection = :connection", names={"#connection": "connection_id"}, values={":connection": connection_id}
        )
        page = await self._table.query(QueryRequest(key, consistent=True))
        return [read_text(item, "topic") for item in page.items]


def _key(connection_id: str, name: str) -> dict[str, Value]:
    return {"connection_id": connection_id, "topic": name}


def _write(subscription: Subscription, name: str) -> dict[str, Value]:
    return {
        "connection_id": subscription.connection_id,
        "topic": name,
        "generation": subscription.generation,
        "pattern": subscription.pattern,
        "columns": list(subscription.columns),
        "expires_s": subscription.expires_s,
        "viewer": subscription.viewer,
    }


def _read(item: Mapping[str, Value]) -> Subscription | None:
    """The subscription; None where the columns or who looks cannot be told, since more would be shown else."""
    columns = item.get("columns")
    if not isinstance(columns, list) or not isinstance(item.get("viewer", ""), str):
        return None
    names = tuple(column for column in columns if isinstance(column, str))
    if len(names) != len(columns):
        return None
    return Subscription(
        connection_id=read_text(item, "connection_id"),
        topic=topic_of(read_text(item, "topic")),
        generation=read_integer(item, "generation"),
        pattern=read_text(item, "pattern"),
        columns=names,
        expires_s=read_integer(item, "expires_s"),
        viewer=read_text(item, "viewer"),
    )
