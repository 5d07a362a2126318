"""Wildcards: a star is any run of characters, none included; `\\*` and `\\\\` are the characters themselves.

Matching finds the pieces between the stars one after the other, each at its first place, which is also the best: a text
is read once, however many stars there are. Must not know patterns or events.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["match_pieces", "measure_complexity", "split_wildcard"]

Pieces = tuple[str, ...]
"""The literal texts before, between and after the stars."""


def split_wildcard(text: str) -> Pieces | str:
    """The pieces of a wildcard, or what is wrong with it."""
    pieces, piece = list[str](), list[str]()
    at = 0
    while at < len(text):
        character = text[at]
        if character == "\\":
            at += 1
            if text[at : at + 1] not in {"*", "\\"}:
                return "a backslash stands before a star or a backslash only"
            piece.append(text[at])
        elif character == "*":
            if text[at + 1 : at + 2] == "*":
                return "two stars do not stand together"
            pieces.append("".join(piece))
            piece = []
        else:
            piece.append(character)
        at += 1
    return (*pieces, "".join(piece))


def match_pieces(pieces: Pieces, text: str) -> bool:
    """Whether `pieces` with anything between them make `text`. Linear in the text."""
    if len(pieces) == 1:
        return text == pieces[0]
    head, *middle, tail = pieces
    at, end = len(head), len(text) - len(tail)
    if at > end or not text.startswith(head) or not text.endswith(tail):
        return False
    for piece in middle:
        found = text.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


def measure_complexity(wildcards: Sequence[Pieces], *, limit: int) -> int:
    """How many prefixes of the wildcards one text can match at once, counted up to `limit` + 1.

    `*:*:x*` has five for the text `::` (the stars, and each `:` before its star), a wildcard with one star one or two.
    It is what Event Ruler's MachineComplexityEvaluator counts, by which EventBridge refuses patterns.
    """
    by_head: dict[str, list[Pieces]] = {}
    for pieces in wildcards:
        by_head.setdefault(pieces[0], []).append(pieces)
    lengths = sorted({len(head) for head in by_head})
    most = 0
    for head in by_head:
        # a text that begins with this head may match these together
        together = [pieces for n in lengths if n <= len(head) for pieces in by_head.get(head[:n], ())]
        stars = sum(len(pieces) - 1 for pieces in together)
        if stars > limit:
            return limit + 1
        most = max(most, stars + _count_ends([piece for pieces in together for piece in pieces[1:]]))
    return min(most, limit + 1)


def _count_ends(pieces: Sequence[str]) -> int:
    """How many beginnings of `pieces`, none empty, can be the end of one text.

    The longest of them is a beginning of a piece and has the others as its ends; of each beginning, its longest end
    that is a beginning too (Aho and Corasick's failure link) carries the count of the shorter ones.
    """
    next_of: list[dict[str, int]] = [{}]
    counts = [0]
    for piece in pieces:
        node = 0
        for character in piece:
            node = next_of[node].setdefault(character, len(next_of))
            if node == len(next_of):
                next_of.append({})
                counts.append(0)
            counts[node] += 1
    longest_end = [0] * len(next_of)
    queue = [0]
    for node in queue:
        for character, child in next_of[node].items():
            end = longest_end[node]
            while end and character not in next_of[end]:
                end = longest_end[end]
            longest_end[child] = next_of[end].get(character, 0) if node else 0
            counts[child] += counts[longest_end[child]]
            queue.append(child)
    return max(counts)
