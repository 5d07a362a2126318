"""When an issuer's keys are read again, and which keys count in the meantime. Pure: dates and outcomes are arguments.

Fresh keys answer alone. They are read again before they run out; a key id that they lack is looked for at once, and
then not for 10 s, whatever ids come. Where the issuer cannot be read, the last keys go on for a bounded time, and the
attempts come ever more seldom. Keys from the deployment count only where none were ever read, or the last ones are too
old; one of them that the issuer was seen to have withdrawn never counts again.

A date is two clocks' (`Moment`): the wall clock may be set back, the loop's may stand while an environment is frozen.
What has run out by either has run out.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from sluiceway.rules.tokens.keys import KeySet

__all__ = ["DEFAULT_AGE_S", "LONGEST_STALE_S", "PENALTY_S", "STALE_S", "Fetch", "KeyCache", "Moment", "read_max_age"]

SHORTEST_AGE_S: Final = 60.0  # an issuer that says less would be asked for every token
LONGEST_AGE_S: Final = 86_400.0  # for so long a withdrawn key may be taken where nothing else is wrong
DEFAULT_AGE_S: Final = 3_600.0
SOFT_SHARE: Final = 0.8  # of the age: then the keys are read again while they still count
NUDGE_S: Final = 60.0  # between attempts beside answers, which may stand still with their environment
PENALTY_S: Final = 10.0  # as awslabs/aws-jwt-verify, https://github.com/awslabs/aws-jwt-verify
STALE_S: Final = 86_400.0  # outages of identity providers last hours
LONGEST_STALE_S: Final = 7 * 86_400.0
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0
_MAX_STEPS: Final = 6
MAX_DIGITS: Final = 10
_NONE: Final = KeySet()


class Moment(NamedTuple):
    """One point in time: the wall clock's epoch seconds and the event loop's seconds."""

    wall_s: float
    loop_s: float

    def since(self, earlier: Moment) -> float:
        """Seconds from `earlier` to here, by the clock that says more."""
        return max(self.wall_s - earlier.wall_s, self.loop_s - earlier.loop_s)


class Fetch(Enum):
    """Whether the keys are to be read for this token: `NOW` before it is answered, `SOON` beside it."""

    NO = "no"
    SOON = "soon"
    NOW = "now"


class _Held(NamedTuple):
    """Keys that were read; `asked` is before the request was sent, `fresh_s` how long they count by themselves."""

    keys: KeySet
    asked: Moment
    fresh_s: float


class KeyCache:
    """The keys of one issuer. `bundle`: those of the deployment; `stale_s`: how long old keys go on in an outage."""

    def __init__(self, bundle: KeySet | None, *, stale_s: float = STALE_S) -> None:
        self._bundle = bundle or _NONE
        self._stale_s = stale_s
        self._held: _Held | None = None
        self._looked: Moment | None = None  # when an unknown id was last looked for
        self._nudged: Moment | None = None  # when the keys were last to be read beside an answer
        self._failed: Moment | None = None  # None: the last attempt worked, or there was none
        self._failures = 0
        self._pause_s = 0.0

    def plan(self, key_id: str, now: Moment) -> Fetch:
        """Whether to read the keys for a token of `key_id`. One that is looked for counts as looked for."""
        held = self._usable(now)
        rested = self._failed is None or now.since(self._failed) >= self._pause_s
        if held is None:
            return Fetch.NOW if rested else Fetch.NO
        if not held.keys.knows(key_id):
            return self._look(now, rested=rested)
        age_s = now.since(held.asked)
        if not rested or age_s < held.fresh_s * SOFT_SHARE:
            return Fetch.NO
        return Fetch.NOW if age_s >= held.fresh_s else self._nudge(now)

    def answer(self, key_id: str, now: Moment) -> KeySet | None:
        """The keys that decide about a token of `key_id`; None where nobody can know, for want of the issuer."""
        held = self._usable(now)
        keys = self._bundle if held is None else held.keys
        is_sure = held is not None and self._failed is None
        return keys if is_sure or keys.knows(key_id) else None

    def goes_on(self, key_id: str, now: Moment) -> bool:
        """Whether a token of `key_id` can be answered while somebody else waits for an issuer that was away."""
        return self._failed is not None and self.answer(key_id, now) is not None

    def is_stale(self, now: Moment) -> bool:
        """Whether what answers is older than its issuer wants."""
        held = self._usable(now)
        return held is not None and now.since(held.asked) >= held.fresh_s

    def is_bundle(self, now: Moment) -> bool:
        """Whether what answers are the deployment's keys."""
        return self._usable(now) is None

    def learn(self, keys: KeySet, *, asked: Moment, max_age_s: float | None) -> None:
        """The issuer publishes `keys`, which were asked for at `asked`. An answer to an older question is no news."""
        if self._held is not None and asked.loop_s < self._held.asked.loop_s:
            return
        age_s = DEFAULT_AGE_S if max_age_s is None else max_age_s
        self._held = _Held(keys, asked, min(max(age_s, SHORTEST_AGE_S), LONGEST_AGE_S))
        self._failed, self._failures = None, 0
        kept = {key_id: key for key_id, key in self._bundle.keys.items() if keys.keys.get(key_id) == key}
        self._bundle = KeySet(kept)

    def miss(self, now: Moment) -> None:
        """The keys were not read, through no fault of the issuer's: nothing is known, and it may be asked at once."""
        self._failed, self._pause_s = now, 0.0

    def fail(self, now: Moment, *, chance: float) -> None:
        """The keys could not be read. `chance` (0 to 1) spreads the pauses of environments that failed together."""
        self._failures += 1
        bound_s = FIRST_PAUSE_S * 2 ** min(self._failures - 1, _MAX_STEPS)
        self._failed, self._pause_s = now, min(bound_s, LONGEST_PAUSE_S) * (0.5 + chance / 2)

    def _usable(self, now: Moment) -> _Held | None:
        held = self._held
        if held is not None and now.since(held.asked) >= held.fresh_s + self._stale_s:
            held = self._held = None
        return held

    def _nudge(self, now: Moment) -> Fetch:
        if self._nudged is not None and now.since(self._nudged) < NUDGE_S:
            return Fetch.NO
        self._nudged = now
        return Fetch.SOON

    def _look(self, now: Moment, *, rested: bool) -> Fetch:
        if not rested or (self._looked is not None and now.since(self._looked) < PENALTY_S):
            return Fetch.NO
        self._looked = now
        return Fetch.NOW


def read_max_age(cache_control: str, age: str = "") -> float | None:
    """For how many seconds a reply may still be kept, by its Cache-Control and Age headers; None where it is not said.

    `no-store` and `no-cache` are 0. Source: https://www.rfc-editor.org/rfc/rfc9111 sections 4.2 and 5.2.2
    """
    directives = [part.strip().lower() for part in cache_control.split(",")]
    if "no-store" in directives or any(part.partition("=")[0] == "no-cache" for part in directives):
        return 0.0
    ages = [_seconds(part.partition("=")[2].strip('"')) for part in directives if part.startswith("max-age=")]
    said = [seconds for seconds in ages if seconds is not None]
    return max(0.0, min(said) - (_seconds(age.strip()) or 0.0)) if said else None


def _seconds(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS else None
