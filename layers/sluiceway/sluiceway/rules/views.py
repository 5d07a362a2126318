"""What one caller sees of one topic: rows, columns and masks of every statement that speaks of it, put together.

The semantics, of which each is held by a property in the tests:

1. Statements allow or deny, as in IAM. What nothing allows is not seen.
2. Of the allowing ones those count whose groups the caller has and whose rows the record is one of. Together they show
   what one of them shows: a column in clear where one has it in clear, else by the mask that shows most.
3. Every denying one counts whose groups the caller has, unless it has one of its `except`, and whose rows the record is
   one of. It takes its columns away and forces its masks, whatever allows them; without columns and masks it takes the
   record.
4. So one more denying statement, column of one or mask never shows more, nor does one allowing statement less.
5. A record on which the rows of a statement cannot be judged is none of an allowing one's and one of a denying one's.

Rows are judged on the whole record, as its owner wrote it; they are the owner's words. What a subscriber asks for is
judged on what comes out here. Must not know subscriptions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, cast

from sluiceway.errors import Misconfigured, Rejected
from sluiceway.rules.access import Viewer
from sluiceway.rules.masking import MASKS, Cell, MaskKey, Plan, Spec, Treatment, combine
from sluiceway.rules.patterns import Pattern
from sluiceway.rules.selecting import compile_pattern, is_path, read_columns, read_rows

__all__ = ["Statement", "TopicView", "check_masks", "make_view", "read_masks", "read_statements"]

MAX_MASKS: Final = 32  # of one statement or rule
MAX_GROUPS: Final = 100  # of one statement
MAX_GROUP: Final = 128  # characters, as of a group of a user pool
MAX_DOMAIN: Final = 64  # characters
MAX_PLANS: Final = 256  # of one view: ways in which the statements' rows fall together
EVERYONE: Final = "*"
TENANT: Final = '"${tenant}"'  # in rows: the caller's tenant
_REASON: Final = "invalid-statement"


class Statement(NamedTuple):
    """One statement. `groups` and `spared` are names, None for everyone; `rows` is canonical text, "" for all."""

    denies: bool
    groups: frozenset[str] | None
    spared: frozenset[str]
    rows: str
    spec: Spec
    takes_record: bool

    def speaks_of(self, viewer: Viewer) -> bool:
        """Whether it counts for this caller."""
        return (self.groups is None or not self.groups.isdisjoint(viewer.groups)) and self.spared.isdisjoint(
            viewer.groups
        )


# ---------------------------------------------------------------- one view


class _Rows(NamedTuple):
    """A statement that counts, and the test of its rows (None: all of them)."""

    statement: Statement
    rows: Pattern | None

    def has(self, record: Mapping[str, object]) -> bool:
        if self.rows is None:
            return True
        try:
            return self.rows.matches(record)
        except Rejected:
            return self.statement.denies


class TopicView:
    """What some callers see of a topic. Views of the same `name` show the same, of one topic and deployment."""

    __slots__ = ("_allowing", "_denying", "_key", "_plans", "name")

    def __init__(self, name: str, *, allowing: Sequence[_Rows], denying: Sequence[_Rows], key: MaskKey | None) -> None:
        self.name = name
        self._allowing = tuple(allowing)
        self._denying = tuple(denying)
        self._key = key
        self._plans: dict[tuple[int, ...], Plan | None] = {}

    def show(self, record: Mapping[str, object]) -> Mapping[str, object] | None:
        """The record as it may be seen, {} where no column of it may; None where it may not be seen."""
        allowing = tuple(at for at, each in enumerate(self._allowing) if each.has(record))
        if not allowing:
            return None
        denying = tuple(-1 - at for at, each in enumerate(self._denying) if each.has(record))
        if allowing + denying not in self._plans:
            if len(self._plans) >= MAX_PLANS:
                self._plans.clear()
            self._plans[allowing + denying] = self._plan(allowing, denying)
        plan = self._plans[allowing + denying]
        return None if plan is None else plan.show(record)

    def _plan(self, allowing: tuple[int, ...], denying: tuple[int, ...]) -> Plan | None:
        denied = [self._denying[-1 - at].statement for at in denying]
        if any(each.takes_record for each in denied):
            return None
        granted = [self._allowing[at].statement.spec for at in allowing]
        return combine(granted, [each.spec for each in denied], self._key)


def make_view(statements: Sequence[Statement], viewer: Viewer, key: MaskKey | None) -> TopicView | None:
    """What `viewer` sees; None where no record can be seen at all, whatever is in it."""
    counting = [(at, each) for at, each in enumerate(statements) if each.speaks_of(viewer)]
    allowing = [_Rows(each, _test(each, viewer)) for _, each in counting if not each.denies and _fits(each, viewer)]
    denying = [_Rows(each, _test(each, viewer)) for _, each in counting if each.denies]
    if not allowing or any(each.rows is None and each.statement.takes_record for each in denying):
        return None
    names_tenant = any(TENANT in each.rows for _, each in counting)
    name = json.dumps([*(at for at, _ in counting), *([viewer.tenant] if names_tenant else [])])
    return TopicView(name, allowing=allowing, denying=denying, key=key)


def _fits(statement: Statement, viewer: Viewer) -> bool:
    """A statement that allows a tenant its rows allows nothing to whoever has none."""
    return bool(viewer.tenant) or TENANT not in statement.rows


def _test(statement: Statement, viewer: Viewer) -> Pattern | None:
    """The rows; all of them where a statement denies a tenant its rows and nobody knows whose the caller is."""
    if not statement.rows or not _fits(statement, viewer):
        return None
    return compile_pattern(statement.rows.replace(TENANT, json.dumps(viewer.tenant)))


# ---------------------------------------------------------------- statements as people write them


def read_statements(topic: str, declared: Sequence[object]) -> tuple[Statement, ...]:
    """The statements of a topic. Raises: Rejected whose text begins with the place (`[1].columns ...`)."""
    read: list[Statement] = []
    for at, members in enumerate(declared):
        place = f"[{at}]"
        if not isinstance(members, dict):
            raise Rejected(f"{place} is not an object", reason=_REASON, field=place)
        read.append(_read_statement(topic, cast("dict[str, object]", members), place))
    return tuple(read)


def check_masks(statements: Sequence[Statement], key: MaskKey | None) -> None:
    """Raises: Rejected, as `read_statements`, for a hash or a token without a key. Views without one show no such."""
    for at, statement in enumerate(statements):
        try:
            combine([Spec()], [statement.spec], key)
        except Misconfigured:
            rule = "has a hash or a token, for which no MASK_KEY is set"
            raise Rejected(f"[{at}].masks {rule}", reason=_REASON, field=f"[{at}].masks") from None


def _read_statement(topic: str, members: Mapping[str, object], place: str) -> Statement:
    denies = "deny" in members
    allowed = {"deny", "except", "rows", "columns", "masks"} if denies else {"allow", "rows", "columns", "masks"}
    if not members.keys() <= allowed or not ("deny" in members or "allow" in members):
        rule = "has allow or deny, and rows, columns, masks and (with deny) except, and nothing else"
        raise Rejected(f"{place} {rule}", reason=_REASON, field=place)
    rows = read_rows(members["rows"], field=f"{place}.rows") if "rows" in members else ""
    columns = read_columns(members["columns"], field=f"{place}.columns", reason=_REASON) if "columns" in members else ()
    masks = read_masks(members["masks"], topic, field=f"{place}.masks") if "masks" in members else ()
    if denies:
        spec = Spec((), (*masks, *((column, Cell(Treatment.DROP)) for column in columns)))
    else:
        spec = Spec(columns, masks)
    return Statement(
        denies,
        _read_groups(members["deny" if denies else "allow"], f"{place}.{'deny' if denies else 'allow'}"),
        _read_groups(members["except"], f"{place}.except", some=True) or frozenset() if "except" in members else _NONE,
        rows,
        spec,
        takes_record=denies and not spec.masks,
    )


_NONE: Final = frozenset[str]()


def _read_groups(value: object, field: str, *, some: bool = False) -> frozenset[str] | None:
    if value == EVERYONE and not some:
        return None
    groups = cast("Sequence[object]", value) if isinstance(value, list) else ()
    if not 1 <= len(groups) <= MAX_GROUPS or not all(
        isinstance(group, str) and 1 <= len(group) <= MAX_GROUP for group in groups
    ):
        rule = f'must be {"" if some else """"*" or """}an array of 1 to {MAX_GROUPS} names of groups'
        raise Rejected(f"{field} {rule}", reason=_REASON, field=field)
    return frozenset(cast("Sequence[str]", groups))


def read_masks(
    value: object, topic: str, *, field: str = "masks", reason: str = _REASON
) -> tuple[tuple[str, Cell], ...]:
    """Masks by path: a word (`drop`, `hash`, `redact`, `tokenise`), or an object with `mask` and `domain`.

    Without a domain the pseudonyms of a path of a topic are its own. Raises: Rejected with `field` and the path.
    """
    masks = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    if not 1 <= len(masks) <= MAX_MASKS:
        raise Rejected(f"{field} must be an object of 1 to {MAX_MASKS} paths", reason=reason, field=field)
    read: list[tuple[str, Cell]] = []
    for path, mask in sorted(masks.items()):
        at = f"{field}.{path}"
        if not is_path(path):
            raise Rejected(f"{at} is no path", reason=reason, field=at)
        read.append((path, _read_mask(mask, default=f"{topic}/{path}", at=at, reason=reason)))
    return tuple(read)


def _read_mask(value: object, *, default: str, at: str, reason: str) -> Cell:
    members = cast("dict[str, object]", value) if isinstance(value, dict) else {"mask": value}
    word, domain = members.get("mask"), members.get("domain", default)
    if not isinstance(word, str) or word not in MASKS or not members.keys() <= {"mask", "domain"}:
        raise Rejected(f"{at} is none of {', '.join(MASKS)}", reason=reason, field=at)
    if "domain" in members and not _is_domain(domain):
        rule = f"is no text of 1 to {MAX_DOMAIN} printable characters"
        raise Rejected(f"{at}.domain {rule}", reason=reason, field=f"{at}.domain")
    treatment = MASKS[word]
    has_domain = treatment in {Treatment.HASH, Treatment.TOKENISE}
    return Cell(treatment, str(domain) if has_domain else "")


def _is_domain(domain: object) -> bool:
    return isinstance(domain, str) and domain.isprintable() and 1 <= len(domain) <= MAX_DOMAIN
