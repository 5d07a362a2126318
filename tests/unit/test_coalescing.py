"""Coalescing: first text at once, one post at a time, nothing lost or twice, and the delays of the simulation."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluiceway.rules.coalescing import MAX_PIECE_BYTES, Coalescer, Piece, measure_json


@dataclass
class Outcome:
    """What a simulated stream of tokens came to. Times in seconds."""

    posts: int = 0
    delays: list[float] = field(default_factory=list)

    @property
    def p95(self) -> float:
        return sorted(self.delays)[int(0.95 * len(self.delays))]

    @property
    def lag(self) -> float:
        return self.delays[-1]


def post_each_token(tokens: int, interval_s: float, post_s: tuple[float, float]) -> Outcome:
    """One post a token, in order: what the policy is measured against."""
    chance, outcome, free_at = random.Random(1), Outcome(), 0.0
    for number in range(tokens):
        free_at = max(free_at, number * interval_s) + chance.uniform(*post_s)
        outcome.posts += 1
        outcome.delays.append(free_at - number * interval_s)
    return outcome


def coalesce(tokens: int, interval_s: float, post_s: tuple[float, float]) -> Outcome:
    """The same tokens through a Coalescer; the last one is followed by the end."""
    chance, outcome, now, made = random.Random(1), Outcome(), 0.0, 0
    coalescer = Coalescer(now=now)
    lands_at: float | None = None
    while len(outcome.delays) < tokens:
        due = coalescer.due_at()
        events = [
            (made * interval_s, 0) if made < tokens else None,
            (lands_at, 1) if lands_at is not None else None,
            (max(due, now), 2) if due is not None else None,
        ]
        now, kind = min(event for event in events if event is not None)
        if kind == 0:
            coalescer.add("x")
            made += 1
            if made == tokens:
                coalescer.flush()
        elif kind == 1:
            lands_at = None
            coalescer.settle(now)
            outcome.delays += [now - number * interval_s for number in range(len(outcome.delays), coalescer.off)]
        else:
            coalescer.take(now)
            outcome.posts += 1
            lands_at = now + chance.uniform(*post_s)
    return outcome


@pytest.mark.parametrize(
    ("post_s", "posts", "p95_s", "naive_lag_s"),
    [((0.008, 0.025), 107, 0.066, 1.9), ((0.025, 0.080), 94, 0.124, 19.9)],
)
def test_the_simulation(post_s: tuple[float, float], posts: int, p95_s: float, naive_lag_s: float) -> None:
    """500 tokens at 80/s over fast and slow posts: a fifth of the messages, and the end is 150 ms behind at most."""
    naive, outcome = post_each_token(500, 1 / 80, post_s), coalesce(500, 1 / 80, post_s)
    assert naive.posts == 500
    assert naive.lag == pytest.approx(naive_lag_s, rel=0.1)
    assert outcome.posts == pytest.approx(posts, rel=0.25)
    assert outcome.p95 == pytest.approx(p95_s, rel=0.15)
    assert outcome.delays[0] <= post_s[1]
    assert outcome.lag < 0.15


def test_the_first_text_goes_at_once_and_the_next_after_the_gap() -> None:
    """50 ms from the beginning of one post to that of the next, while posts are faster."""
    coalescer = Coalescer(now=10.0)
    assert coalescer.due_at() is None
    coalescer.add("a")
    assert coalescer.due_at() == 10.0
    assert coalescer.take(10.0) == Piece(0, "a")
    coalescer.add("b")
    assert coalescer.due_at() is None
    coalescer.settle(10.01)
    coalescer.add("c")
    assert coalescer.due_at() == pytest.approx(10.05)
    assert coalescer.take(10.05) == Piece(1, "bc")


def test_text_after_a_pause_goes_at_once() -> None:
    """The gap is between posts, not before every text."""
    coalescer = Coalescer(now=0.0)
    coalescer.add("a")
    coalescer.take(0.0)
    coalescer.settle(0.02)
    coalescer.add("b")
    due = coalescer.due_at()
    assert due is not None
    assert due < 3.0


def test_slow_posts_widen_the_gap() -> None:
    """The gap follows the smoothed duration of posts, up to a second."""
    coalescer, now = Coalescer(now=0.0), 0.0
    for _ in range(40):
        coalescer.add("a")
        coalescer.take(now)
        now += 0.2
        coalescer.settle(now)
    assert coalescer.gap_s == pytest.approx(0.2)
    coalescer.add("a")
    coalescer.take(now)
    coalescer.settle(now + 100)
    assert coalescer.gap_s == 1.0


def test_what_must_not_wait_does_not() -> None:
    """A flush and 8 KB go before the gap is over; the flush is spent with the text it was for."""
    coalescer = Coalescer(now=0.0)
    coalescer.add("a")
    coalescer.take(0.0)
    coalescer.settle(0.001)
    coalescer.add("b")
    coalescer.flush()
    assert coalescer.due_at() == 0.0
    coalescer.take(0.002)
    coalescer.settle(0.003)
    coalescer.add("c")
    assert coalescer.due_at() == pytest.approx(0.052)
    coalescer.add("x" * 8192)
    assert coalescer.due_at() == pytest.approx(0.002)
    coalescer.take(0.003)
    coalescer.settle(0.004)
    coalescer.flush()
    assert coalescer.due_at() is None


def test_a_refused_post_doubles_the_wait_up_to_a_second_and_successes_shorten_it() -> None:
    """429: the text is held, even what is urgent waits, and the way back is by halves."""
    coalescer, now, waits = Coalescer(now=0.0), 0.0, list[float]()
    coalescer.add("a")
    coalescer.flush()
    for _ in range(6):
        assert coalescer.take(now) == Piece(0, "a")
        coalescer.back_off(now)
        due = coalescer.due_at()
        assert due is not None
        waits.append(round(due - now, 3))
        now = due
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    gaps: list[float] = []
    for _ in range(6):
        coalescer.add("b")
        coalescer.take(now)
        coalescer.settle(now)
        gaps.append(round(coalescer.gap_s, 3))
    assert gaps == [0.5, 0.25, 0.125, 0.062, 0.05, 0.05]


def test_a_refused_piece_is_cut_anew_with_what_came_meanwhile() -> None:
    """The reader took nothing, so the next piece begins where the refused one did."""
    coalescer = Coalescer(now=0.0)
    coalescer.add("one ")
    assert coalescer.take(0.0) == Piece(0, "one ")
    coalescer.add("two")
    coalescer.back_off(0.03)
    assert coalescer.take(1.0) == Piece(0, "one two")
    coalescer.settle(1.1)
    assert coalescer.off == 7


def test_a_reader_that_has_the_beginning_gets_the_rest() -> None:
    """Offsets go on from where the text began for this reader, in characters."""
    coalescer = Coalescer(now=0.0, off=7)
    coalescer.add("a😀")
    assert coalescer.take(0.0) == Piece(7, "a😀")
    coalescer.settle(0.0)
    coalescer.add("é")
    assert coalescer.take(1.0) == Piece(9, "é")


def test_heartbeats_come_after_silence() -> None:
    """15 to 25 s after the last post of any kind, spread by chance; never beside a post."""
    assert [Coalescer(now=5.0, chance=chance).ping_at() for chance in (0.0, 0.5, 1.0)] == [20.0, 25.0, 30.0]
    coalescer = Coalescer(now=0.0, chance=0.0)
    coalescer.add("a")
    coalescer.take(3.0)
    assert coalescer.ping_at() is None
    coalescer.settle(4.0)
    assert coalescer.ping_at() == 18.0
    coalescer.note_said(18.0)
    assert coalescer.ping_at() == 33.0


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=()), max_size=60))
def test_the_measure_is_what_json_writes(text: str) -> None:
    """Escapes, control characters, and every plane of Unicode."""
    written = json.dumps(text, ensure_ascii=False)[1:-1]
    assert measure_json(text) == len(written.encode("utf-8", "surrogatepass"))


@settings(deadline=None)
@given(st.sampled_from(["x", '"', "\x01", "é", "😀", "e\u0301"]), st.integers(1, 40_000))
def test_pieces_are_as_large_as_may_be_and_no_larger(character: str, count: int) -> None:
    """Below 31 KB as JSON, with room for no further character unless it was the last; none is cut in two."""
    coalescer, text = Coalescer(now=0.0), character * count
    coalescer.add(text)
    pieces: list[str] = []
    while coalescer.due_at() is not None:
        pieces.append(coalescer.take(0.0).text)
        coalescer.settle(0.0)
    assert "".join(pieces) == text
    assert all(measure_json(piece) <= MAX_PIECE_BYTES for piece in pieces)
    assert all(measure_json(piece) > MAX_PIECE_BYTES - 6 for piece in pieces[:-1])


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "flush", "post", "refuse"]), st.floats(0, 2), st.text(max_size=5)),
        max_size=40,
    )
)
def test_whatever_happens_the_reader_gets_the_text(steps: list[tuple[str, float, str]]) -> None:
    """Posts taken and refused at any time: the pieces taken are the text, without gap or overlap."""
    coalescer, now, text, taken = Coalescer(now=0.0), 0.0, "", ""
    for step, wait_s, more in [*steps, ("post", 5.0, "")]:
        now += wait_s
        due = coalescer.due_at()
        if step == "add":
            coalescer.add(more)
            text += more
        elif step == "flush":
            coalescer.flush()
        elif due is not None and due <= now:
            piece = coalescer.take(now)
            assert (piece.off, piece.text) == (len(taken), text[len(taken) :])
            if step == "post":
                coalescer.settle(now)
                taken += piece.text
            else:
                coalescer.back_off(now)
    assert taken == text
    assert coalescer.off == len(text)
