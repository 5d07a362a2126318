"""What of a record is shown, cell by cell: in clear, as a token, as a hash, redacted, or not at all.

Owns the order of these treatments, from the one that shows most to the one that shows nothing, what each makes of a
value, and the walk that applies a tree of them to a record. What several statements together allow is a minimum or a
maximum in that order (`combine`), so that one restriction more never shows more. Must not know who looks, or why.

A mask replaces every value that is there, null among them; what is absent stays absent, and an object or array of
which nothing is left is left out. Arrays are passed through, as by columns. A name with dots in a record counts as
those names where something is hidden or masked, and no column picks it: what may be meant either way is hidden.
docs/filtering.md has the formats.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Final, NamedTuple, cast

from sluiceway.errors import Misconfigured
from sluiceway.rules.patterns.values import key_of

__all__ = ["CLEAR", "MASKS", "REDACTED", "Cell", "MaskKey", "Plan", "Spec", "Treatment", "combine", "parse_mask_key"]

REDACTED: Final = "***"
MAX_NESTED: Final = 100  # arrays and objects that are looked into, as for columns and patterns
MIN_KEY_BYTES: Final = 32  # as long as the digest: RFC 2104 section 3
TOKEN_LETTERS: Final = 26  # of base32: 130 bits of the digest
_KEY: Final = re.compile(r"([A-Za-z0-9]{1,16}):([A-Za-z0-9_-]+)")
_ABSENT: Final = object()


class Treatment(IntEnum):
    """What becomes of a value; a higher one shows less."""

    CLEAR = 0
    TOKENISE = 1
    HASH = 2
    REDACT = 3
    DROP = 4


class Cell(NamedTuple):
    """A treatment, and the domain of its pseudonyms: equal values of one domain have equal ones. Cells are ordered."""

    treatment: Treatment
    domain: str = ""


CLEAR: Final = Cell(Treatment.CLEAR)
DROP: Final = Cell(Treatment.DROP)
MASKS: Final[Mapping[str, Treatment]] = {
    "drop": Treatment.DROP,
    "hash": Treatment.HASH,
    "redact": Treatment.REDACT,
    "tokenise": Treatment.TOKENISE,
}
"""Masks by the word that statements and rules have for them."""


class MaskKey(NamedTuple):
    """The secret of hashes and tokens, and its id, which tokens carry."""

    key_id: str
    secret: bytes

    def __repr__(self) -> str:
        """Without the secret."""
        return f"MaskKey({self.key_id!r})"


def parse_mask_key(text: str, what: str) -> MaskKey:
    """The key in `text`, `<id>:<base64url of 32 bytes or more>`. Raises: Misconfigured that names the setting."""
    found = _KEY.fullmatch(text)
    secret = b""
    if found is not None:
        try:
            secret = base64.urlsafe_b64decode(found[2] + "=" * (-len(found[2]) % 4))
        except binascii.Error:
            secret = b""
    if found is None or len(secret) < MIN_KEY_BYTES:
        rule = f"an id of letters and digits, a colon, and base64url of {MIN_KEY_BYTES} bytes or more"
        raise Misconfigured(f"{what} is not {rule}", what=what)
    return MaskKey(found[1], secret)


# ---------------------------------------------------------------- what several statements come to


class Spec(NamedTuple):
    """What one statement says. `columns`: what is shown, () for everything; `masks`: by path, each for all below it."""

    columns: tuple[str, ...] = ()
    masks: tuple[tuple[str, Cell], ...] = ()

    def cell(self, path: str) -> Cell:
        """The treatment of what stands at `path`, "" for the record itself."""
        if self.columns and not any(_is_within(path, column) for column in self.columns):
            return DROP
        return self.masked(path)

    def masked(self, path: str) -> Cell:
        """The strictest of the masks that cover `path`, whatever the columns say."""
        return max((cell for at, cell in self.masks if _is_within(path, at)), default=CLEAR)


def _is_within(path: str, above: str) -> bool:
    return path == above or path.startswith(f"{above}.")


class _Node:
    """One name of the paths that somebody speaks of: `cell` holds for whatever no child speaks of.

    `dotted` is this place as those grants have it that show everything here: where members with dots in their names are
    looked up. None where there is no such grant, and then they are not shown.
    """

    __slots__ = ("cell", "children", "dotted", "is_unit")

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.children: dict[str, _Node] = {}
        self.is_unit = False
        self.dotted: _Node | None = None


def combine(grants: Sequence[Spec], restrictions: Sequence[Spec], key: MaskKey | None) -> Plan:
    """What is shown where any of `grants` (one or more) shows it, as strictly as the strictest of `restrictions` says.

    Of a restriction the masks alone count. Raises: Misconfigured (`MASK_KEY`) for a pseudonym without a key.
    """
    builder = _Builder(grants, restrictions)
    root = builder.root_of(tuple(range(len(grants))))
    if key is None and any(Treatment.CLEAR < each < Treatment.REDACT for each in builder.used):
        raise Misconfigured("hash and tokenise need a key", what="MASK_KEY")
    return Plan(root, key)


class _Builder:
    """The trees of one `combine`: of all grants, and of those that show everything at some place."""

    def __init__(self, grants: Sequence[Spec], restrictions: Sequence[Spec]) -> None:
        self._grants = grants
        self._restrictions = restrictions
        paths = {path for spec in grants for path in (*spec.columns, *(at for at, _ in spec.masks))}
        self._paths = sorted(paths | {at for spec in restrictions for at, _ in spec.masks})
        self._nodes: dict[tuple[int, ...], dict[str, _Node]] = {}
        self.used: set[Treatment] = set()

    def root_of(self, chosen: tuple[int, ...]) -> _Node:
        """The tree of some grants, by their places."""
        return self._tree(chosen)[""]

    def _tree(self, chosen: tuple[int, ...]) -> dict[str, _Node]:
        """The nodes of a tree by their paths."""
        if chosen in self._nodes:
            return self._nodes[chosen]
        nodes = self._nodes[chosen] = {"": _Node(self._cell(chosen, ""))}
        for path in self._paths:
            above = ""
            for name in path.split("."):
                here = f"{above}.{name}" if above else name
                if here not in nodes:
                    nodes[here] = nodes[above].children[name] = _Node(self._cell(chosen, here))
                above = here
        self.used |= _settle(nodes[""])
        for path, node in nodes.items():
            open_here = tuple(at for at in chosen if self._grants[at].cell(path) == CLEAR)
            node.dotted = self._tree(open_here)[path] if node.children and open_here else None
        return nodes

    def _cell(self, chosen: tuple[int, ...], path: str) -> Cell:
        allowed = min(self._grants[at].cell(path) for at in chosen)
        return max(allowed, *(spec.masked(path) for spec in self._restrictions)) if self._restrictions else allowed


def _settle(node: _Node) -> set[Treatment]:
    """Mark the nodes whose object is masked as a whole, and give the treatments at and below this one.

    A node is a unit where nothing below it is shown more openly: then not even the names of its members are told.
    """
    below: set[Treatment] = set()
    for child in node.children.values():
        below |= _settle(child)
    own = node.cell.treatment
    node.is_unit = Treatment.CLEAR < own < Treatment.DROP and all(each >= own for each in below)
    return below | {own}


# ---------------------------------------------------------------- the walk


class Plan:
    """Treatments for a whole record; `combine` makes them."""

    __slots__ = ("_key", "_root", "is_open")

    def __init__(self, root: _Node, key: MaskKey | None) -> None:
        self._root = root
        self._key = key
        self.is_open = not root.children and root.cell == CLEAR
        """Whether every record is shown as it is."""

    def show(self, record: Mapping[str, object]) -> Mapping[str, object]:
        """The record as it may be seen: itself where all of it may, {} where nothing is left."""
        if self.is_open:
            return record
        shown = self._walk_object(cast("dict[str, object]", record), self._root, self._root.cell, depth=0)
        return {} if shown is _ABSENT else cast("Mapping[str, object]", shown)

    def pseudonym(self, domain: str, value: object) -> str:
        """A hash outside of any record: of a partition key. Raises: Misconfigured (`MASK_KEY`) without a key."""
        if self._key is None:
            raise Misconfigured("a pseudonym needs a key", what="MASK_KEY")
        return str(_pseudonym(Cell(Treatment.HASH, domain), value, self._key))

    def _walk(self, value: object, node: _Node, depth: int) -> object:
        if not node.children:
            return self._treat(value, node.cell, depth)
        if depth > MAX_NESTED:
            return _ABSENT
        if isinstance(value, dict):
            members = cast("dict[str, object]", value)
            if not node.is_unit:
                return self._walk_object(members, node, node.cell, depth=depth)
            left = self._walk_object(members, node, CLEAR, depth=depth)
            return _ABSENT if left is _ABSENT else self._treat(left, node.cell, depth)
        if isinstance(value, list):
            elements = _left([self._walk(each, node, depth + 1) for each in cast("list[object]", value)])
            is_redacted = node.is_unit and node.cell.treatment is Treatment.REDACT
            return REDACTED if is_redacted and elements is not _ABSENT else elements  # nor how many there are
        return self._treat(value, node.cell, depth)

    def _walk_object(self, members: dict[str, object], node: _Node, other: Cell, *, depth: int) -> object:
        """The members that are left; `other` is the treatment of those that no child speaks of."""
        shown: dict[str, object] = {}
        for name, value in members.items():
            child = node.children.get(name)
            if child is not None:
                treated = self._walk(value, child, depth + 1)
            elif "." in name and node.children:
                treated = self._walk_dotted((name, value), node, other, depth=depth)
            else:
                treated = self._treat(value, other, depth + 1)
            if treated is not _ABSENT:
                shown[name] = treated
        return shown or _ABSENT

    def _walk_dotted(self, member: tuple[str, object], node: _Node, other: Cell, *, depth: int) -> object:
        """A member whose name may be meant as several: the stricter of both meanings."""
        name, value = member
        step = start = node.dotted
        if step is None:
            return _ABSENT
        for part in name.split("."):
            child = step.children.get(part)
            if child is None:
                return self._treat(value, other if step is start else max(step.cell, other), depth + 1)
            step = child
        if not step.children:
            return self._treat(value, max(step.cell, other), depth + 1)
        return self._walk(value, step, depth + 1) if other == CLEAR else _ABSENT

    def _treat(self, value: object, cell: Cell, depth: int) -> object:
        treatment = cell.treatment
        if treatment is Treatment.CLEAR:
            return value
        if treatment is Treatment.REDACT:
            return REDACTED
        if treatment is Treatment.DROP or depth > MAX_NESTED:
            return _ABSENT
        if isinstance(value, list):
            elements = cast("list[object]", value)
            return [
                each for each in (self._treat(element, cell, depth + 1) for element in elements) if each is not _ABSENT
            ]
        return _pseudonym(cell, value, cast("MaskKey", self._key))


def _left(elements: Iterable[object]) -> object:
    return [each for each in elements if each is not _ABSENT] or _ABSENT


# ---------------------------------------------------------------- pseudonyms


def _pseudonym(cell: Cell, value: object, key: MaskKey) -> object:
    """64 hexadecimal digits, or `tok_<key id>_<26 letters>`; nothing for a value that is nested without end."""
    try:
        content = _canonical(value, 0)
    except RecursionError:
        return _ABSENT
    word = cell.treatment.name.encode()
    said = _join([b"sluiceway", word, cell.domain.encode("utf-8", "surrogatepass"), content])
    digest = hmac.digest(key.secret, said, "sha256")
    if cell.treatment is Treatment.HASH:
        return digest.hex()
    return f"tok_{key.key_id}_{base64.b32encode(digest).decode('ascii')[:TOKEN_LETTERS].lower()}"


def _canonical(value: object, depth: int) -> bytes:
    """Bytes that equal JSON values share, and no others: 300, 300.0 and 3e2 are one number, "300" is none."""
    if depth > MAX_NESTED:
        raise RecursionError
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        parts = [_canonical(each, depth + 1) for name in sorted(members) for each in (name, members[name])]
        return b"{" + _join(parts)
    if isinstance(value, list):
        return b"[" + _join([_canonical(each, depth + 1) for each in cast("list[object]", value)])
    key = key_of(value)
    if isinstance(key, str):
        return b"s" + key.encode("utf-8", "surrogatepass")
    if isinstance(key, tuple):
        return b"t" + key[0].encode()
    return b"n" + repr(key + 0.0).encode()  # + 0.0: there is one zero


def _join(parts: Sequence[bytes]) -> bytes:
    """With the length of each part before it, so that no two lists come to the same."""
    return b"".join(b"%d:%s" % (len(part), part) for part in parts)
