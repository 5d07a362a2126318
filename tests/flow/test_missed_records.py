"""What a client of a topic makes of numbers that are missing, where several environments serve its shard by turns."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from sluiceway.codec.frames import encode_mark, encode_record, encode_records
from sluiceway.events.socket import MarkFrame, RecordsFrame, ShownRecord
from sluiceway.rules.numbering import Numbering
from tests.local.mesh_story.ticker import Ticker

SHARD = "shardId-000000000000"
Batch = tuple[int, bool]  # the environment that serves it, and whether its message arrives


def hear(batches: Sequence[Batch]) -> tuple[Ticker, list[tuple[str, str]]]:
    """A client that subscribed before the first batch, each of a record with the next sequence number from 1 on."""
    environments = [Numbering(random.Random(seed).random) for seed in range(3)]
    ticker = Ticker(None)
    epochs: list[tuple[str, str]] = []
    for number, (at, arrives) in enumerate(batches, start=1):
        count = environments[at].next("everything")
        epochs.append((SHARD, environments[at].epoch))
        record = encode_record(ShownRecord(str(number), None, {"order": number}))
        frame = encode_records(RecordsFrame("records", SHARD, environments[at].epoch, count, (record,)))
        if arrives:
            ticker.take(json.loads(frame))
    return ticker, epochs


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=30))
def test_what_is_missed_lies_in_a_gap_unless_it_was_the_last_of_its_epoch(batches: list[Batch]) -> None:
    """Read from the epoch's last record on, not from the shard's: another epoch may have sent later ones meanwhile."""
    ticker, epochs = hear(batches)
    arrived = {epochs[at]: at for at, (_, arrives) in enumerate(batches) if arrives}
    for at, (_, arrives) in enumerate(batches):
        if arrives or at < arrived.get(epochs[at], -1):
            assert ticker.covers((SHARD, at + 1))


def test_a_gap_reaches_back_beyond_what_another_epoch_sent() -> None:
    """The second batch is dropped, another environment sends the third, and the first one tells with the fourth."""
    ticker, _ = hear([(0, True), (0, False), (1, True), (0, True)])
    assert [(gap.after, gap.before) for gap in ticker.gaps] == [(1, 4)]
    assert [number for _, number in ticker.kept] == [1, 3, 4]


def test_nothing_is_taken_for_a_gap_where_environments_take_turns() -> None:
    """Each has numbers of its own, from 1."""
    ticker, _ = hear([(0, True), (1, True), (0, True), (1, True), (2, True)])
    assert ticker.gaps == []
    assert [number for _, number in ticker.kept] == [1, 2, 3, 4, 5]


def test_a_mark_tells_of_the_last_message_of_an_epoch() -> None:
    """Whatever other epochs sent meanwhile: from the epoch's last record on. One that tells nothing new is none."""
    ticker, epochs = hear([(0, True), (0, False), (1, True)])
    for number in (1, 2, 2):
        ticker.take(json.loads(encode_mark(MarkFrame("records", SHARD, epochs[0][1], number))))
    assert [gap.after for gap in ticker.gaps] == [1]
    assert ticker.covers((SHARD, 2))
    assert [number for _, number in ticker.kept] == [1, 3]
