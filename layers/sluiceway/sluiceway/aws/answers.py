"""The ports of streamed answers on AWS: answers in one DynamoDB table, who is connected in another.

Owns the conditions that keep a worker's writes, readers' comings and goings, and a cancel from disturbing each other.
Must not know which state may follow which. The answers' table has the key `caller` and `item`
(`aws/answer_items.py`), the connections' the key `connection_id`; the TTL attribute of both is `expires_s`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sluiceway.aws.answer_items import (
    assemble,
    check_write,
    cut_pieces,
    head_key,
    is_gone,
    piece_prefix,
    question_key,
    read_connection,
    read_piece,
    read_record,
    worker_attributes,
    write_connection,
    write_head,
    write_piece,
    write_reader,
)
from sluiceway.aws.attributes import Value
from sluiceway.aws.dynamodb import Expression, QueryRequest, Table, found_item, set_all
from sluiceway.errors import ConditionFailed, Rejected
from sluiceway.ports import MAX_READERS, AnswerRecord, Clock, Connection, Reader

__all__ = ["DynamoDbAnswerStore", "DynamoDbConnectionStore"]

_IS_LIVE: Final = "#expires_s > :now_s"  # false where there is no item: nothing compares with nothing
_CANCEL: Final = Expression("SET #cancel = :true", names={"#cancel": "cancel"}, values={":true": True})
_NEW: Final = Expression("attribute_not_exists(#connection)", names={"#connection": "connection_id"})
_KNOWN: Final = Expression("attribute_exists(#connection)", names={"#connection": "connection_id"})
_COUNT: Final = Expression("ADD #generation :one", names={"#generation": "generation"}, values={":one": 1})


class DynamoDbAnswerStore:
    """Answers in one table. Raises what `Table` raises, and `Rejected` (`invalid-req`) for a req with a `#`.

    A record that has expired is gone at once by `clock`, and from the table when DynamoDB gets to it.
    """

    def __init__(self, table: Table, clock: Clock) -> None:
        self._table = table
        self._clock = clock

    async def get(self, caller: str, req: str) -> AnswerRecord | None:
        """The record as last written (strongly consistent), or None."""
        return self._live(await self._table.get_item(head_key(caller, req)))

    async def create(self, record: AnswerRecord, question: str) -> AnswerRecord | None:
        """Write record and question if there is none. Returns None when there was none, else the record already there.

        The question goes first: a record is never without. A retry whose first answer was lost finds its own record.
        """
        head = write_head(record)
        await self._table.put_item({**question_key(record), "question": question, "expires_s": record.expires_s})
        free = Expression(
            "attribute_not_exists(#item) OR #expires_s <= :now_s",
            names={"#item": "item", "#expires_s": "expires_s"},
            values={":now_s": self._now_s()},
        )
        try:
            await self._table.put_item(head, condition=free)
        except ConditionFailed as error:
            item = found_item(error)
            if not item:
                raise
            return read_record(item)
        return None

    async def read_question(self, record: AnswerRecord) -> str:
        """The question of the record's `request_sha256`. Raises Rejected (`question-gone`) where it has expired."""
        item = await self._table.get_item(question_key(record))
        question, expires_s = (None, 0) if item is None else (item.get("question"), item.get("expires_s"))
        if not isinstance(question, str) or not isinstance(expires_s, int) or self._is_gone(expires_s):
            raise Rejected("the question of this answer has expired", reason="question-gone")
        return question

    async def read_text(self, record: AnswerRecord) -> str:
        """The first `record.off` characters of the answer. Raises Rejected (`text-gone`) where some have expired."""
        if record.off == 0:
            return ""
        of_record = Expression(
            "#caller = :caller AND begins_with(#item, :prefix)",
            names={"#caller": "caller", "#item": "item"},
            values={":caller": record.caller, ":prefix": piece_prefix(record)},
        )
        items = await self._table.query_all(QueryRequest(of_record, consistent=True))
        return assemble(record, map(read_piece, items))

    async def attach(self, caller: str, req: str, reader: Reader) -> AnswerRecord | None:
        """Let `reader` have what comes; the record after it, None where there is none.

        Raises Rejected (`too-many-readers`) for more than MAX_READERS.
        """
        key = head_key(caller, req)
        place = {"#readers": "readers", "#connection": reader.connection_id}
        update = Expression("SET #readers.#connection = :reader", names=place, values={":reader": write_reader(reader)})
        room = Expression(
            f"{_IS_LIVE} AND (attribute_exists(#readers.#connection) OR size(#readers) < :most)",
            names={**place, "#expires_s": "expires_s"},
            values={":now_s": self._now_s(), ":most": MAX_READERS},
        )
        try:
            return read_record(await self._table.update_item(key, update, condition=room, returning="ALL_NEW"))
        except ConditionFailed as error:
            if self._live(found_item(error)) is None:
                return None
            raise Rejected(f"an answer has {MAX_READERS} readers at most", reason="too-many-readers") from error

    async def detach(self, caller: str, req: str, reader: Reader) -> None:
        """Take the reader away, unless its connection has been attached again since (another generation)."""
        place = {"#readers": "readers", "#connection": reader.connection_id}
        same = Expression(
            "#readers.#connection.#generation = :generation",
            names={**place, "#generation": "generation"},
            values={":generation": reader.generation},
        )
        try:
            await self._table.update_item(
                head_key(caller, req), Expression("REMOVE #readers.#connection", names=place), condition=same
            )
        except ConditionFailed:
            return

    async def cancel(self, caller: str, req: str) -> AnswerRecord | None:
        """Ask whoever works on it to stop; the record after it, None where there is none."""
        live = Expression(_IS_LIVE, names={"#expires_s": "expires_s"}, values={":now_s": self._now_s()})
        try:
            item = await self._table.update_item(head_key(caller, req), _CANCEL, condition=live, returning="ALL_NEW")
        except ConditionFailed:
            return None
        return read_record(item)

    async def replace(self, record: AnswerRecord, *, seen: AnswerRecord, text: str = "") -> AnswerRecord | None:
        """Write what a worker writes of `record`, if `seen` is still what is stored, or `record` is already.

        The text goes first, in pieces that count only once the record's `off` covers them.
        """
        check_write(record, seen=seen, text=text)
        for piece in cut_pieces(record, seen.off, text):
            await self._table.put_item(write_piece(record, piece))
        attributes = worker_attributes(record)
        try:
            item = await self._table.update_item(
                head_key(record.caller, record.req),
                set_all(attributes),
                condition=self._unchanged_since(seen),
                returning="ALL_NEW",
            )
        except ConditionFailed as error:
            found = found_item(error) or {}
            is_ours = found.get("created_ms") == record.created_ms
            is_written = all(found.get(name) == value for name, value in attributes.items())
            return self._live(found) if is_ours and is_written else None
        return read_record(item)

    def _unchanged_since(self, seen: AnswerRecord) -> Expression:
        was: dict[str, Value] = {
            "created_ms": seen.created_ms,
            "state": seen.state,
            "attempt": seen.attempt,
            "lease_owner": seen.lease_owner,
            "off": seen.off,
        }
        same = " AND ".join(f"#{name} = :seen_{name}" for name in was)
        return Expression(
            f"{same} AND {_IS_LIVE}",
            names={f"#{name}": name for name in (*was, "expires_s")},
            values={":now_s": self._now_s(), **{f":seen_{name}": value for name, value in was.items()}},
        )

    def _live(self, item: Mapping[str, Value] | None) -> AnswerRecord | None:
        record = read_record(item) if item else None
        return None if record is None or self._is_gone(record.expires_s) else record

    def _is_gone(self, expires_s: int) -> bool:
        return is_gone(expires_s, self._clock.now_ms())

    def _now_s(self) -> int:
        return self._clock.now_ms() // 1000


class DynamoDbConnectionStore:
    """Connections in one table. Raises what `Table` raises."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def open(self, connection: Connection) -> None:
        """Keep a new connection; nothing where it is kept already, since it may have counted by then."""
        try:
            await self._table.put_item(write_connection(connection), condition=_NEW)
        except ConditionFailed:
            return

    async def close(self, connection_id: str) -> None:
        """Forget a connection; nothing where there is none."""
        await self._table.delete_item({"connection_id": connection_id})

    async def get(self, connection_id: str) -> Connection | None:
        """The connection, or None."""
        item = await self._table.get_item({"connection_id": connection_id})
        return None if item is None else read_connection(item)

    async def count_up(self, connection_id: str) -> int | None:
        """The connection's generation, raised by one (by two where a retry's first answer was lost); None for none."""
        key = {"connection_id": connection_id}
        try:
            item = await self._table.update_item(key, _COUNT, condition=_KNOWN, returning="ALL_NEW")
        except ConditionFailed:
            return None
        return read_connection(item).generation
