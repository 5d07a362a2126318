"""The idempotency record: who owns a key, until when, and what its work gave.

Owns what a record found means for whoever else wants the key. Pure: the time is an argument. Must not know stores,
clocks or handlers. Two times are in a record, both on the wall clock of whoever wrote it: until `lease_until_ms` the
owner may be at work, and nobody else begins; from `expires_s` on the record counts as gone.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["IdempotencyRecord", "Owner", "is_free", "is_lapsed"]


class Owner(NamedTuple):
    """Who holds a key. `token` names one attempt and no other ("" for a record that another library wrote).

    `region` and `epoch` say where, and under which term of ownership, it was made ("" and 0 where there is one Region).
    """

    token: str
    region: str = ""
    epoch: int = 0


class IdempotencyRecord(NamedTuple):
    """One key. `lease_until_ms` is epoch milliseconds, 0 where it is not known; `expires_s` is epoch seconds.

    `data` is the result as JSON text; None while in progress, and of a complete record whose result was not kept.
    `payload_hash` is of the validated part of the event, "" where none is. `data_key` is the result's place in a blob
    store, "" where it is in the record. `doubt` is never stored: it is what a store that knows more than this record
    says of the key, `parked` or `fenced` (`rules.terms.Doubt`), and then nothing else counts.
    """

    key: str
    owner: Owner
    expires_s: int
    lease_until_ms: int = 0
    is_complete: bool = False
    data: str | None = None
    payload_hash: str = ""
    data_key: str = ""
    doubt: Literal["", "parked", "fenced"] = ""


def is_free(record: IdempotencyRecord, now_ms: int, *, rerun: bool) -> bool:
    """True where another may take the key: the record has expired, or (with `rerun`) its lease has lapsed.

    The comparisons are those of Powertools: the second and the millisecond that are named still count.
    """
    if record.doubt:
        return False
    return record.expires_s < now_ms // 1000 or (rerun and is_lapsed(record, now_ms))


def is_lapsed(record: IdempotencyRecord, now_ms: int) -> bool:
    """True where the work is not complete and its owner had to stop: it crashed, or could not write its end."""
    return not record.is_complete and 0 < record.lease_until_ms < now_ms
