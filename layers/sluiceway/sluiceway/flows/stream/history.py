"""The turns before a question: what was asked and answered, along the chain of `after`.

Owns how far back a model is reminded: the newest turns that fit, each whole. A turn without an answer, or one that has
expired, is left out or ends the chain; nothing of that is an error. Must not know AWS.
"""

from __future__ import annotations

from typing import Final

from sluiceway.errors import Rejected
from sluiceway.genai.provider import Message
from sluiceway.ports import AnswerStore
from sluiceway.rules.answers import parse_question

__all__ = ["recall"]

MAX_TURNS: Final = 50


async def recall(answers: AnswerStore, caller: str, after: str, *, most: int) -> tuple[Message, ...]:
    """The turns up to and with `after`, oldest first, with at most `most` characters. Raises what the store raises."""
    turns: list[tuple[Message, Message]] = []
    left = most
    for _ in range(MAX_TURNS):
        record = await answers.get(caller, after) if after else None
        if record is None:
            break
        try:
            question = parse_question(await answers.read_question(record))
            text = (await answers.read_text(record)).rstrip()
        except Rejected:
            break
        left -= len(question.request.prompt) + len(text)
        if left < 0:
            break
        if text:
            turns.append((Message("user", question.request.prompt), Message("assistant", text)))
        after = question.after
    return tuple(message for turn in reversed(turns) for message in turn)
