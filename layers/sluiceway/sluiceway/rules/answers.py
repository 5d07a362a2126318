"""What may be asked of a streamed answer, and what a reader's offset is worth after several attempts.

Pure decisions. Must not know connections, stores or models. Limits are those of a job's request; the messages that
carry them have 128 KB at most.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sluiceway.errors import Rejected
from sluiceway.rules.jobs import MEMBERS, JobRequest, parse_members, read_job_request

__all__ = [
    "ENDED",
    "MAX_ANSWER",
    "MAX_HISTORY",
    "MAX_REQ",
    "Ask",
    "Cancel",
    "Question",
    "Resume",
    "needs_worker",
    "parse_ask",
    "parse_cancel",
    "parse_question",
    "parse_req",
    "parse_resume",
    "valid_offset",
]

MAX_ANSWER: Final = 1_048_576  # characters; a model's 8,192 tokens are a twentieth of that
MAX_HISTORY: Final = 1_000_000  # characters of earlier turns; a quarter of that in tokens fills the largest contexts
MAX_QUESTION: Final = 393_216  # bytes of a question as it is kept: one DynamoDB item, of 400 KB with its key
MAX_OFFSET: Final = MAX_ANSWER  # no answer has more characters
MAX_REQ: Final = 128  # characters, as of a job's idempotency key
MAX_MODEL: Final = 256  # characters of a model's id, which is compared with those that are offered
MAX_ATTEMPT: Final = 999_999  # six digits, as in event ids and item keys
ENDED: Final = frozenset({"finished", "failed", "cancelled"})
QUIET_MS: Final = 4_000  # a worker writes at least every 3 s: one that has not may be dead, though its lease runs
_ASKED: Final = MEMBERS | {"model", "after"}
_REQ: Final = re.compile(rf"[A-Za-z0-9._~-]{{1,{MAX_REQ}}}")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of which model ("" for the deployment's own). `after` is the req of the turn before it, or ""."""

    request: JobRequest
    model: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """A question under a name. `question` is its canonical JSON text, `sha256` that text's fingerprint."""

    req: str
    asked: Question
    question: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Resume:
    """A reader that has the first `off` characters of attempt `attempt` (0: it does not say)."""

    req: str
    off: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """A caller that wants no more."""

    req: str


def parse_req(value: object) -> str:
    """A client's name for its request. Raises Rejected (`invalid-body`, field `req`)."""
    return _req(value, "req")


def parse_ask(body: str, *, req: str | None = None) -> Ask:
    """The question in a message, or in an HTTP body whose `req` may be missing: then it is `req`.

    Raises Rejected (`invalid-body`) that names the field and its limit, never its value, and Rejected (`too-large`).
    """
    members = parse_members(body)
    if not members.keys() <= _ASKED | {"action", "req"}:
        raise _refuse(f"the message has members other than action, req, {', '.join(sorted(_ASKED))}")
    name = parse_req(members.get("req", req))
    asked = _read_question(members)
    if asked.after == name:
        raise _refuse("after must be another req", "after")
    kept = {member: members[member] for member in sorted(_ASKED) if member in members}
    question = json.dumps(kept, ensure_ascii=False, separators=(",", ":"))
    encoded = question.encode()
    if len(encoded) > MAX_QUESTION:
        raise Rejected(f"a question has {MAX_QUESTION} bytes of JSON at most", reason="too-large")
    return Ask(name, asked, question, hashlib.sha256(encoded).hexdigest())


def parse_question(question: str) -> Question:
    """What `parse_ask` made the text of. Raises Rejected."""
    return _read_question(parse_members(question))


def parse_resume(body: str) -> Resume:
    """Raises Rejected (`invalid-body`)."""
    members = _only(body, {"action", "req", "off", "try"})
    return Resume(
        parse_req(members.get("req")),
        _count(members.get("off", 0), "off", MAX_OFFSET),
        _count(members.get("try", 0), "try", MAX_ATTEMPT),
    )


def parse_cancel(body: str) -> Cancel:
    """Raises Rejected (`invalid-body`)."""
    return Cancel(parse_req(_only(body, {"action", "req"}).get("req")))


def needs_worker(state: str, *, lease_until_ms: int, updated_ms: int, now_ms: int) -> bool:
    """Whether a worker should be sent for an answer in this state: nobody works on it, or perhaps nobody any more.

    One that was asked may have lost its order on the way; a worker too many finds that out by itself.
    """
    if state in ENDED:
        return False
    if state in {"asked", "paused"} or updated_ms <= now_ms - QUIET_MS:
        return True
    return state == "running" and lease_until_ms <= now_ms


def valid_offset(off: int, attempt: int, *, starts: Sequence[int], length: int) -> int:
    """How much of the `off` characters that a reader has of attempt `attempt` still stands.

    `starts[i]` is where attempt i + 1 went on, `length` the answer's length now. A reader that names no attempt is
    believed while there has been one only.
    """
    if attempt <= 0 and len(starts) > 1:
        return 0
    return min([off, length, *starts[max(attempt, 1) :]])


def _read_question(members: Mapping[str, object]) -> Question:
    after = _req(members["after"], "after") if "after" in members else ""
    return Question(read_job_request(members), _model(members), after)


def _req(value: object, field: str) -> str:
    if not isinstance(value, str) or _REQ.fullmatch(value) is None:
        raise _refuse(f"{field} must be 1 to {MAX_REQ} characters of A-Z a-z 0-9 . _ ~ -", field)
    return value


def _model(members: Mapping[str, object]) -> str:
    model = members.get("model", "")
    if not isinstance(model, str) or len(model) > MAX_MODEL:
        raise _refuse(f"model must be text of at most {MAX_MODEL} characters", "model")
    if not model.isascii():
        raise _refuse("model must be ASCII", "model")
    return model


def _only(body: str, allowed: set[str]) -> Mapping[str, object]:
    members = parse_members(body)
    if not members.keys() <= allowed:
        raise _refuse(f"the message has members other than {', '.join(sorted(allowed))}")
    return members


def _count(value: object, field: str, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise _refuse(f"{field} must be a whole number from 0 to {most}", field)
    return value


def _refuse(why: str, field: str | None = None) -> Rejected:
    return Rejected(why, reason="invalid-body", field=field)
