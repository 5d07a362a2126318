"""What became of the records of a batch for each rule: every record once, so that the sum is right.

    records of the batch = sent + returned + dropped, for each rule, with each reason that anything was dropped for

Owns the reasons, which are a closed set (docs/filtering.md), and what is told of more rules than an invocation names.
What comes again is `returned`, whatever was found out about it: it is judged anew. Only what went out of it is `sent`,
and goes out once more, under the same id. Must not know how anything is sent.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Final

from sluiceway.errors import Misconfigured, Rejected

__all__ = ["OTHERS", "RULE_METRICS", "FilterAccount", "FilterSums", "choose_poison", "choose_word"]

RULE_METRICS: Final[Mapping[str, str]] = {
    "sent": "RuleSent",
    "returned": "RuleReturned",
    "unmatched": "RuleDroppedUnmatched",
    "malformed": "RuleDroppedMalformed",
    "aggregate": "RuleDroppedAggregate",
    "ambiguous": "RuleDroppedAmbiguous",
    "unwritable": "RuleDroppedUnwritable",
    "too_large": "RuleDroppedTooLarge",
    "refused": "RuleDroppedRefused",
    "misconfigured": "RuleDroppedMisconfigured",
    "no_mask_key": "RuleDroppedNoMaskKey",
    "feeds_itself": "RuleDroppedFeedsItself",
    "invalid_rule": "RuleDroppedInvalidRule",
}
"""What may become of a record for a rule, and the metric that counts it."""

POISON: Final = ("malformed", "aggregate", "ambiguous")
OTHERS: Final = "(other)"  # which is no rule's id
_OF_REFUSALS: Final[Mapping[str, str]] = {"unwritable-record": "unwritable", "message-too-large": "too_large"}
_OF_UNUSABLE: Final[Mapping[str, str]] = {"no-mask-key": "no_mask_key", "feeds-itself": "feeds_itself"}
_WORDS: Final = tuple(RULE_METRICS)
_PLACES: Final = {word: at for at, word in enumerate(_WORDS)}
_UNMATCHED, _MATCHED, _FIRST_POISON = 0, 1, 2  # a byte a record


def choose_word(fate: Exception | None) -> str:
    """What became of a message that its destination answered so, None where it took it."""
    if fate is None:
        return "sent"
    if isinstance(fate, Rejected):
        return _OF_REFUSALS.get(fate.reason, "refused")
    return "misconfigured" if isinstance(fate, Misconfigured) else "returned"


def choose_poison(error: Rejected) -> str:
    """The kind of a record that no rule could be tried on."""
    return "ambiguous" if error.reason == "ambiguous-event" else "malformed"


class FilterAccount:
    """One batch while it is filtered: nine bytes a message. Places count from 0."""

    def __init__(self, records: int) -> None:
        self._kinds = bytearray(records)
        self._rules: dict[str, int] = {}
        self._said_at, self._said_of, self._said = array("I"), array("I"), bytearray()

    def note_poison(self, at: int, kind: str) -> None:
        """A record that no rule can be tried on."""
        self._kinds[at] = _FIRST_POISON + POISON.index(kind)

    def note(self, at: int, rule_id: str, word: str) -> None:
        """A record that a rule matched, and what became of its message."""
        self._kinds[at] = _MATCHED
        self._said_at.append(at)
        self._said_of.append(self._rules.setdefault(rule_id, len(self._rules)))
        self._said.append(_PLACES[word])

    def settle(self, again_from: int) -> FilterSums:
        """The sums, where all records from this place on come again."""
        final = Counter(self._kinds[:again_from])
        records = {
            "matched": final[_MATCHED],
            "unmatched": final[_UNMATCHED],
            "poison": sum(final[_FIRST_POISON + at] for at in range(len(POISON))),
            "again": len(self._kinds) - again_from,
        }
        poison = {kind: final[_FIRST_POISON + at] for at, kind in enumerate(POISON)}
        said: dict[str, dict[str, int]] = {name: {} for name in self._rules}
        sent_again: dict[str, int] = {}
        words: Counter[str] = Counter()
        for (name, noted, is_again), number in self._count(again_from):
            if is_again and noted == "sent":
                sent_again[name] = number
            word = "returned" if is_again and noted != "sent" else noted
            said[name][word] = said[name].get(word, 0) + number
            words[word] += number
        return FilterSums(records, said, words, poison, sent_again)

    def _count(self, again_from: int) -> Iterator[tuple[tuple[str, str, bool], int]]:
        """How many messages there are of a rule, with a word, and of records that come again or not."""
        names = tuple(self._rules)
        said: Iterable[tuple[int, int, bool]]
        if again_from == len(self._kinds):
            said = zip(self._said_of, self._said, repeat(False))
        else:
            said = zip(self._said_of, self._said, [at >= again_from for at in self._said_at], strict=True)
        for (of, word, is_again), number in Counter(said).items():
            yield (names[of], _WORDS[word], is_again), number


@dataclass(frozen=True, slots=True)
class FilterSums:
    """What became of a batch. `records`: each in one of `matched`, `unmatched`, `poison` and `again`.

    `messages`: by rule, what became of the messages that were made; those of records that come again are `returned`
    unless they were sent. `words`: the same of all rules together.
    """

    records: Mapping[str, int]
    messages: Mapping[str, Mapping[str, int]]
    words: Mapping[str, int]
    _poison: Mapping[str, int]
    _sent_again: Mapping[str, int]

    def of_rule(self, rule_id: str, passed_over: str = "") -> dict[str, int]:
        """What became of every record for a rule; `passed_over` is why it is not used, where it is not."""
        return self._sum(self.messages.get(rule_id, {}), self._sent_again.get(rule_id, 0), passed_over=passed_over)

    def _sum(
        self, messages: Mapping[str, int], sent_again: int, *, rules: int = 1, passed_over: str = ""
    ) -> dict[str, int]:
        """What became of every record for `rules` rules, whose messages became that."""
        made = sum(messages.values()) - messages.get("returned", 0) - sent_again
        judged = self.records["matched"] + self.records["unmatched"]
        silent = _OF_UNUSABLE.get(passed_over, "invalid_rule") if passed_over else "unmatched"
        return {
            **{kind: rules * number for kind, number in self._poison.items()},
            **messages,
            silent: rules * judged - made,
            "returned": rules * self.records["again"] - sent_again,
        }

    def find_wrong(self) -> Iterator[str]:
        """The rules of whose messages not all were sent."""
        return (rule_id for rule_id, words in self.messages.items() if len(words) > 1 or "sent" not in words)

    def tell(
        self, rule_ids: Iterable[str], unusable: Mapping[str, str], *, most: int
    ) -> Iterator[tuple[str, Mapping[str, int]]]:
        """What became of every record for each rule, `most` of them by name, the others together as `OTHERS`.

        With more rules than that, those come first of whose messages not all were sent, then those that sent any, then
        those that are not used, and what no record was for is not named. `most` 0 names none.
        """
        known = {*rule_ids, *unusable, *self.messages}
        named = sorted(known) if len(known) <= most else self._choose(unusable, most)
        for rule_id in named:
            yield rule_id, self.of_rule(rule_id, unusable.get(rule_id, ""))
        rest = known.difference(named)
        if rest:
            yield OTHERS, self._sum_others(rest, named, unusable)

    def _sum_others(self, rest: set[str], named: Sequence[str], unusable: Mapping[str, str]) -> Mapping[str, int]:
        """What is not of the rules that are named: by subtraction, since a rule at a time takes long for thousands."""
        passed_over = [rule_id for rule_id in unusable if rule_id in rest]
        words, sent_again = Counter(self.words), sum(self._sent_again.values())
        for rule_id in (*named, *passed_over):
            words.subtract(self.messages.get(rule_id, {}))
            sent_again -= self._sent_again.get(rule_id, 0)
        others = Counter(self._sum(words, sent_again, rules=len(rest) - len(passed_over)))
        for rule_id in passed_over:
            others.update(self.of_rule(rule_id, unusable[rule_id]))
        return others

    def _choose(self, unusable: Mapping[str, str], most: int) -> list[str]:
        """The rules of which something is to be told, the most telling first."""
        wrong = set(self.find_wrong())
        ranked = sorted({*self.messages, *unusable}, key=lambda each: (each not in wrong, each in unusable, each))
        return ranked[:most]
