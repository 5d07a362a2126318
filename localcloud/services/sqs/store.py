"""The durable store of the queues: SQLite beside the memory, written before an operation is answered.

Owns the file and its tables; the memory stays the truth while the process runs. What one operation changes is one
transaction, so a killed process loses nothing that was answered. A message's content is written once, and its place
(queue, state, counts) whenever that changes. The loop's times mean nothing after a restart: dates are kept instead, so
a message that was hidden becomes visible when it would have, and retention goes on while nothing runs.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

from localcloud.clock import Clock
from localcloud.persistence import open_database, transaction
from localcloud.services.sqs.fifo import REMEMBERED_S, Accepted, Key
from localcloud.services.sqs.held import TIMED, Held, State
from localcloud.services.sqs.keeping import Definition
from localcloud.services.sqs.message import AttributeValue, Content

__all__ = ["Store"]

_FILE: Final = "sqs.sqlite3"
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS queues (arn TEXT PRIMARY KEY, definition TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS contents (message_id TEXT PRIMARY KEY, body TEXT NOT NULL, sent TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS places (
  message_id TEXT PRIMARY KEY, arn TEXT NOT NULL, position INTEGER NOT NULL, state TEXT NOT NULL,
  visible_s REAL NOT NULL, receives INTEGER NOT NULL, receives_ever INTEGER NOT NULL, first_received_s REAL NOT NULL,
  received_s REAL NOT NULL, dead_letter_source TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS fifo (
  message_id TEXT PRIMARY KEY, deduplication_id TEXT NOT NULL, sequence TEXT NOT NULL, kept_since_s REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS accepted (
  arn TEXT NOT NULL, group_id TEXT NOT NULL, deduplication_id TEXT NOT NULL, message_id TEXT NOT NULL,
  sequence TEXT NOT NULL, sent_s REAL NOT NULL, PRIMARY KEY (arn, group_id, deduplication_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS accepted_by_date ON accepted (sent_s);
"""
_FORGET: Final = (
    "DELETE FROM contents WHERE message_id = ?",
    "DELETE FROM places WHERE message_id = ?",
    "DELETE FROM fifo WHERE message_id = ?",
)
_ACCEPTED: Final = """
SELECT group_id, deduplication_id, message_id, sequence, sent_s FROM accepted
WHERE arn = ? AND sent_s > ? ORDER BY sent_s
"""
_MESSAGES: Final = """
SELECT arn, message_id, body, sent, state, visible_s, receives, receives_ever, first_received_s, received_s,
  dead_letter_source, deduplication_id, sequence, kept_since_s
FROM places JOIN contents USING (message_id) LEFT JOIN fifo USING (message_id) ORDER BY visible_s, position
"""
_Fifo: TypeAlias = tuple[str | None, str | None, float | None]
_Row: TypeAlias = tuple[str, str, str, str, float, int, int, float, float, str]  # one of these without arn and _Fifo


class Store:
    """A `Keeper` in `folder`. Close it when nothing uses the queues any more.

    Raises KeptStateUnusable. Its methods may be called from the event loop only.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._connection = open_database(folder / _FILE, _SCHEMA)
        self._clock = clock
        (last,) = self._connection.execute("SELECT MAX(position) FROM places").fetchone()
        self._position = int(last or 0)  # among messages that become visible at the same moment, the order of change
        self._queues: dict[str, Definition | None] = {}
        self._sent: dict[str, Held] = {}
        self._places: dict[str, tuple[str, Held]] = {}
        self._accepted: dict[tuple[str, Key], Accepted] = {}
        self._is_together = False

    def load(self) -> Iterator[tuple[Definition, list[Held]]]:
        """Every kept queue with its messages, in the order in which those became or become visible."""
        messages: dict[str, list[Held]] = {}
        for arn, *row in self._connection.execute(_MESSAGES):
            held = self._read_held(cast("_Row", tuple(row[:-3])))
            messages.setdefault(arn, []).append(_with_fifo(held, cast("_Fifo", tuple(row[-3:]))))
        for arn, text in self._connection.execute("SELECT arn, definition FROM queues ORDER BY arn").fetchall():
            yield Definition(arn, **json.loads(text)), messages.get(arn, [])

    def note_queue(self, definition: Definition) -> None:
        """A queue was made or changed."""
        self._queues[definition.arn] = definition

    def note_deleted(self, arn: str) -> None:
        """A queue was deleted; its messages are noted apart."""
        self._queues[arn] = None

    def note_sent(self, arn: str, held: Held) -> None:
        """A new message, or one that another FIFO queue's dead letter became."""
        self._sent[held.message_id] = held
        self.note(arn, held)

    def note(self, arn: str, held: Held) -> None:
        """A message changed, or came from another queue, or is gone."""
        self._places.pop(held.message_id, None)  # the last change decides its position
        self._places[held.message_id] = (arn, held)

    def note_accepted(self, arn: str, key: Key, accepted: Accepted) -> None:
        """A FIFO queue will take what has this key for a duplicate, for the next five minutes."""
        self._accepted[arn, key] = accepted

    def load_accepted(self, arn: str) -> Iterator[tuple[Key, Accepted]]:
        """What a FIFO queue accepted in the last five minutes, the oldest first."""
        found = self._connection.execute(_ACCEPTED, (arn, self._clock.time() - REMEMBERED_S)).fetchall()
        for group_id, deduplication_id, message_id, sequence, sent_s in found:
            yield Key(group_id, deduplication_id), Accepted(message_id, int(sequence), sent_s)

    @contextmanager
    def together(self) -> Generator[None]:
        """Keep all that is noted inside in one step at its end; nothing inside may wait."""
        self._is_together = True
        try:
            yield
        finally:
            self._is_together = False
            self.flush()

    def flush(self) -> None:
        """Keep what was noted; nothing to do where nothing was, or inside `together`.

        Raises sqlite3.Error where it cannot; it is still noted then, and kept with the next change.
        """
        if self._is_together or not (self._places or self._queues):
            return
        with transaction(self._connection):
            self._write_queues()
            self._write_messages()
            self._write_accepted()
        self._queues.clear()
        self._sent.clear()
        self._places.clear()
        self._accepted.clear()

    def close(self) -> None:
        """Keep what is still noted, and close the file."""
        self.flush()
        self._connection.close()

    def _write_queues(self) -> None:
        for arn, definition in self._queues.items():
            if definition is None:
                self._connection.execute("DELETE FROM queues WHERE arn = ?", (arn,))
                self._connection.execute("DELETE FROM accepted WHERE arn = ?", (arn,))
            else:
                text = _write_definition(definition)
                self._connection.execute("INSERT OR REPLACE INTO queues VALUES (?, ?)", (arn, text))

    def _write_messages(self) -> None:
        now_s, now = self._clock.time(), asyncio.get_running_loop().time()
        for message_id, (arn, held) in self._places.items():
            if held.state is State.GONE:
                for statement in _FORGET:
                    self._connection.execute(statement, (message_id,))
                continue
            if message_id in self._sent:
                content = (message_id, held.content.body, _write_sent(held))
                self._connection.execute("INSERT OR REPLACE INTO contents VALUES (?, ?, ?)", content)
                if held.sequence:
                    fifo = (message_id, held.content.deduplication_id, str(held.sequence), held.kept_since_s)
                    self._connection.execute("INSERT OR REPLACE INTO fifo VALUES (?, ?, ?, ?)", fifo)
            self._position += 1
            visible_s = now_s + (held.due - now) if held.state in TIMED else now_s
            received_s = now_s + (held.received_at - now) if held.receives else 0.0
            place = (message_id, arn, self._position, held.state.name, visible_s, held.receives, held.receives_ever)
            rest = (held.first_received_s, received_s, held.dead_letter_source)
            self._connection.execute(
                "INSERT OR REPLACE INTO places VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", place + rest
            )

    def _write_accepted(self) -> None:
        for (arn, key), sent in self._accepted.items():
            row = (arn, key.group_id, key.deduplication_id, sent.message_id, str(sent.sequence), sent.sent_s)
            self._connection.execute("INSERT OR REPLACE INTO accepted VALUES (?, ?, ?, ?, ?, ?)", row)
        if self._accepted:
            forgotten_s = self._clock.time() - REMEMBERED_S
            self._connection.execute("DELETE FROM accepted WHERE sent_s <= ?", (forgotten_s,))

    def _read_held(self, row: _Row) -> Held:
        message_id, body, sent, state, visible_s, receives, receives_ever, first_received_s, received_s, source = row
        now_s, now = self._clock.time(), asyncio.get_running_loop().time()
        raw = json.loads(sent)
        content = Content(body, _read_values(raw["attributes"]), _read_values(raw["system"]), raw["group_id"])
        return Held(
            message_id=message_id,
            content=content,
            sender_id=raw["sender_id"],
            sent_s=raw["sent_s"],
            state=State[state],
            due=now + (visible_s - now_s),
            receives=receives,
            receives_ever=receives_ever,
            first_received_s=first_received_s,
            received_at=now + (received_s - now_s),
            dead_letter_source=source,
            kept_since_s=raw["sent_s"],
        )


def _with_fifo(held: Held, fifo: _Fifo) -> Held:
    deduplication_id, sequence, kept_since_s = fifo
    if deduplication_id is not None and sequence is not None and kept_since_s is not None:
        held.content = replace(held.content, deduplication_id=deduplication_id)
        held.sequence, held.kept_since_s = int(sequence), kept_since_s
    return held


def _write_definition(definition: Definition) -> str:
    return json.dumps(
        {
            "attributes": dict(definition.attributes),
            "tags": dict(definition.tags),
            "created_s": definition.created_s,
            "modified_s": definition.modified_s,
            "purged_s": definition.purged_s,
        }
    )


def _write_sent(held: Held) -> str:
    """What a message is sent with beside its body; binary values in Base64."""
    return json.dumps(
        {
            "attributes": _write_values(held.content.attributes),
            "system": _write_values(held.content.system),
            "group_id": held.content.group_id,
            "sender_id": held.sender_id,
            "sent_s": held.sent_s,
        }
    )


def _write_values(values: Mapping[str, AttributeValue]) -> dict[str, list[Any]]:
    return {
        name: [value.data_type, base64.b64encode(value.value).decode(), True]
        if isinstance(value.value, bytes)
        else [value.data_type, value.value, False]
        for name, value in values.items()
    }


def _read_values(raw: Mapping[str, list[Any]]) -> dict[str, AttributeValue]:
    return {
        name: AttributeValue(data_type, base64.b64decode(value) if is_binary else value)
        for name, (data_type, value, is_binary) in raw.items()
    }
