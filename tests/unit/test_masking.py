"""Masks: what each makes of a value, where it reaches, and what two of them come to."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.errors import Misconfigured
from sluiceway.rules.masking import CLEAR, REDACTED, Cell, MaskKey, Plan, Spec, Treatment, combine, parse_mask_key

KEY = MaskKey("k1", bytes(range(32)))
OTHER = MaskKey("k2", bytes(range(1, 33)))
HASH = Cell(Treatment.HASH, "orders/x")
TOKEN = Cell(Treatment.TOKENISE, "orders/x")
REDACT = Cell(Treatment.REDACT)
DROP = Cell(Treatment.DROP)


def plan(*masks: tuple[str, Cell], columns: tuple[str, ...] = (), key: MaskKey | None = KEY) -> Plan:
    return combine([Spec(columns, masks)], [], key)


def masked(value: object, cell: Cell, key: MaskKey = KEY) -> Any:
    return plan(("x", cell), key=key).show({"x": value}).get("x", "absent")


# ---------------------------------------------------------------- what a mask makes of a value


def test_the_formats_are_those_of_the_docs() -> None:
    """A hash is 64 hexadecimal digits; a token says the key's id and has 26 letters; redacted is three stars."""
    assert re.fullmatch(r"[0-9a-f]{64}", masked("Ann", HASH))
    assert re.fullmatch(r"tok_k1_[a-z2-7]{26}", masked("Ann", TOKEN))
    assert masked("Ann", REDACT) == REDACTED == "***"
    assert masked("Ann", DROP) == "absent"


def test_a_hash_is_a_keyed_one() -> None:
    """HMAC-SHA256 over the lengths and bytes that docs/filtering.md lists, so another program can make the same."""
    parts = [b"sluiceway", b"HASH", b"orders/x", b"sAnn"]
    said = b"".join(b"%d:%s" % (len(part), part) for part in parts)
    assert masked("Ann", HASH) == hmac.new(KEY.secret, said, hashlib.sha256).hexdigest()
    assert masked("Ann", HASH) != masked("Ann", HASH, OTHER)
    assert masked("Ann", TOKEN) != masked("Ann", TOKEN, OTHER)


@pytest.mark.parametrize("cell", [HASH, TOKEN])
def test_equal_values_have_equal_pseudonyms_and_others_have_not(cell: Cell) -> None:
    """300, 300.0 and 3e2 are one number; "300", true, null, objects and what merely looks alike are others."""
    assert masked(300, cell) == masked(300.0, cell) == masked(3e2, cell)
    assert masked(0.0, cell) == masked(-0.0, cell) == masked(0, cell)
    assert masked({"a": 1, "b": 2}, cell) == masked({"b": 2.0, "a": 1}, cell)
    different = [
        300,
        "300",
        301,
        True,
        None,
        "true",
        "null",
        "",
        2**53,
        2**53 + 1,
        {"a": 300},
        {"b": 300},
        {"a": "300"},
    ]
    different += [
        {"a": {"b": 1}},
        {"a": {}, "b": 1},
        {"a": [1, 23]},
        {"a": [12, 3]},
        {"a": ["1", "23"]},
        {"a": ["12", "3"]},
    ]
    assert len({masked(value, cell) for value in different}) == len(different)


def test_domains_part_pseudonyms_and_share_them() -> None:
    """The same value under two paths has nothing in common, unless both name one domain."""
    both = {"from": "Ann", "to": "Ann"}
    parted = plan(("from", Cell(Treatment.HASH, "t/from")), ("to", Cell(Treatment.HASH, "t/to"))).show(both)
    shared = plan(("from", Cell(Treatment.HASH, "person")), ("to", Cell(Treatment.HASH, "person"))).show(both)
    assert parted["from"] != parted["to"]
    assert shared["from"] == shared["to"]


def test_what_is_absent_stays_absent_and_null_is_a_value() -> None:
    """No mask makes a member; null is masked as anything else, so that it cannot be told from other values."""
    for cell in (HASH, TOKEN, REDACT):
        shown = plan(("x", cell), ("y.z", cell)).show({"x": None, "y": {}, "other": None})
        assert shown.keys() == {"x", "other"}
        assert shown["x"] not in (None, "null")
        assert shown["other"] is None


def test_arrays_are_passed_through_and_objects_are_one_value() -> None:
    """Each element of an array has its pseudonym; an object has one, which tells no names; redacted, both are stars."""
    record = {"tags": ["a", "b", "a", {"n": 1}], "lines": [{"sku": "s1", "n": 1}, {"n": 2}, 5]}
    shown: Any = plan(("tags", HASH), ("lines.sku", TOKEN)).show(record)
    assert shown["tags"][0] == shown["tags"][2] == masked("a", HASH)
    assert shown["tags"][3] == masked({"n": 1}, HASH)
    assert shown["lines"] == [{"sku": masked("s1", TOKEN), "n": 1}, {"n": 2}, 5]
    assert plan(("tags", REDACT), ("lines.sku", REDACT)).show(record) == {
        "tags": "***",
        "lines": [{"sku": "***", "n": 1}, {"n": 2}, 5],
    }
    assert plan(("tags", DROP), ("lines.n", DROP)).show(record) == {"lines": [{"sku": "s1"}, 5]}


def test_columns_pick_and_masks_cover_what_is_picked() -> None:
    """A mask reaches all below its path; one outside of the columns reaches nothing."""
    record = {"id": 1, "customer": {"name": "Ann", "city": "Oslo"}, "total": 5}
    shown = plan(("customer.name", REDACT), ("total", REDACT), columns=("customer", "id")).show(record)
    assert shown == {"id": 1, "customer": {"name": "***", "city": "Oslo"}}
    assert plan(("customer", REDACT), columns=("customer.name",)).show(record) == {"customer": {"name": "***"}}
    assert plan(columns=("nothing",)).show(record) == {}


def test_of_two_masks_the_stricter_counts() -> None:
    """Of one statement or of two: a milder one further down opens nothing."""
    record = {"a": {"b": 1, "c": 2}}
    for masks in ((("a", REDACT), ("a.b", HASH)), (("a.b", HASH), ("a", REDACT))):
        assert plan(*masks).show(record) == {"a": "***"}
    two = [Spec((), (("a", REDACT),)), Spec((), (("a.b", HASH),))]
    assert combine([Spec()], two, KEY).show(record) == {"a": "***"}
    assert plan(("a", HASH), ("a.b", DROP)).show(record) == {"a": masked({"c": 2}, HASH)}


def test_a_name_with_dots_hides_nothing() -> None:
    """Patterns read it as those names, and so does a mask, wherever the dots are; a column does not show it."""
    record = {"a.b": 1, "a": {"b.c": 2, "b": {"c": 3, "d.e": 4}}, "a.b.c": 5, "a.x": 6, "a.b.d": {"e": 7}}
    assert plan(("a.b", DROP)).show(record) == {"a.x": 6}
    assert plan(("a.b.c", DROP)).show(record) == {
        "a.b": 1,
        "a": {"b": {"d.e": 4}},
        "a.x": 6,
        "a.b.d": {"e": 7},
    }
    assert plan(("a.b.d.e", REDACT)).show({"a.b": {"d.e": 1}, "a.b.d": {"e": 2}, "a": {"b.d": {"e.f": 3}}}) == {
        "a.b": {"d.e": "***"},
        "a.b.d": {"e": "***"},
        "a": {"b.d": {"e.f": "***"}},
    }
    assert plan(columns=("a.b",)).show({"a.b": 1, "a": {"b": 2}}) == {"a": {"b": 2}}


def test_a_name_with_dots_is_shown_by_what_shows_everything_beside_it() -> None:
    """Two statements of which one picks the column and the other masks it come to no more than each of them."""
    picks, masks = Spec(("a",)), Spec((), (("a", HASH),))
    record = {"a.b": 0, "a": {"b": 1}, "c": {"a.b": 2}}
    assert combine([picks], [], KEY).show(record) == {"a": {"b": 1}}
    together = combine([picks, masks], [], KEY).show(record)
    assert together == {"a.b": masked(0, HASH), "a": {"b": 1}, "c": {"a.b": 2}}
    assert combine([picks, Spec(("a.c", "c"))], [], KEY).show(record) == {"a": {"b": 1}, "c": {"a.b": 2}}


def test_depth_is_bounded() -> None:
    """What is nested more than a hundred deep below a mask is not there; nothing exhausts the stack."""
    deep: Any = "x"
    for _ in range(900):
        deep = [deep]
    assert plan(("x", HASH)).show({"x": deep, "y": 1})["y"] == 1
    assert json.dumps(plan(("x.y", DROP)).show({"x": deep, "y": 1})) == '{"y": 1}'
    wide: Any = "x"
    for _ in range(900):
        wide = {"n": wide}
    assert plan(("x", HASH)).show({"x": wide, "y": 1}) == {"y": 1}


# ---------------------------------------------------------------- what several come to


def test_grants_show_what_one_of_them_shows_and_restrictions_take_from_it() -> None:
    """The least of what is granted, then the most of what is forced."""
    record = {"name": "Ann", "city": "Oslo", "card": 1}
    one = Spec(("name",), (("name", REDACT),))
    two = Spec(("city", "name"), (("name", TOKEN),))
    assert combine([one], [], KEY).show(record) == {"name": "***"}
    assert combine([one, two], [], KEY).show(record) == {"name": masked("Ann", TOKEN), "city": "Oslo"}
    assert combine([one, two, Spec()], [], KEY).show(record) == record
    forced = Spec((), (("name", HASH), ("card", DROP)))
    assert combine([one, two, Spec()], [forced], KEY).show(record) == {"name": masked("Ann", HASH), "city": "Oslo"}
    assert combine([one], [forced], KEY).show(record) == {"name": "***"}


def test_an_object_is_masked_as_a_whole_unless_more_of_it_is_shown() -> None:
    """Where another grant shows a member, the others are masked one by one; hidden members are in no hash."""
    record = {"customer": {"name": "Ann", "city": "Oslo"}}
    whole = Spec((), (("customer", HASH),))
    assert combine([whole, Spec(("customer.name",))], [], KEY).show(record) == {
        "customer": {"name": "Ann", "city": masked("Oslo", HASH)}
    }
    hidden = combine([whole], [Spec((), (("customer.city", DROP),))], KEY).show(record)
    assert hidden == {"customer": masked({"name": "Ann"}, HASH)}


def test_of_a_redacted_array_not_even_its_length_is_told() -> None:
    """Also where a member of its elements is spoken of: one restriction more must not count them."""
    record = {"a": [{"b": 1}, {"b": 2}], "n": [[{"b": 1}], 5]}
    whole = Spec((), (("a", REDACT), ("n", REDACT)))
    for more in (("a.b", REDACT), ("a.zz", DROP), ("n.b", DROP), ("a.b.c", HASH)):
        assert combine([whole], [Spec((), (more,))], KEY).show(record) == {"a": "***", "n": "***"}
    assert combine([whole, Spec(("a.b",))], [], KEY).show(record) == {"a": record["a"], "n": "***"}


def test_pseudonyms_need_a_key() -> None:
    """Without one they are refused when the plan is made, never shown in clear; the other masks need none."""
    for cell in (HASH, TOKEN):
        with pytest.raises(Misconfigured) as caught:
            plan(("x", cell), key=None)
        assert caught.value.what == "MASK_KEY"
    assert plan(("x", REDACT), ("y", DROP), key=None).show({"x": 1, "y": 2}) == {"x": "***"}
    assert plan().is_open
    assert plan(key=None).show({"x": 1}) == {"x": 1}
    with pytest.raises(Misconfigured):
        plan(key=None).pseudonym("key", "Ann")


def test_a_key_is_read_or_refused_without_its_text() -> None:
    """Id, colon, base64url of 32 bytes at least; the secret is in no message and no repr."""
    encoded = base64.urlsafe_b64encode(KEY.secret).decode().rstrip("=")
    assert parse_mask_key(f"k1:{encoded}", "MASK_KEY") == KEY
    assert "secret" not in repr(KEY)
    assert repr(KEY.secret) not in repr(KEY)
    for text in ("", "k1", f"k1:{encoded[:-2]}", f"k-1:{encoded}", f":{encoded}", "k1:=", f"k1:{encoded}="):
        with pytest.raises(Misconfigured) as caught:
            parse_mask_key(text, "MASK_KEY")
        assert caught.value.what == "MASK_KEY"
        assert encoded[:8] not in str(caught.value)


# ---------------------------------------------------------------- properties

NAMES = ("a", "b", "c")
paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map(".".join)
cells = st.sampled_from([HASH, TOKEN, REDACT, DROP, Cell(Treatment.HASH, "other"), Cell(Treatment.TOKENISE, "other")])
mask_lists = st.lists(st.tuples(paths, cells), max_size=3).map(tuple)
grants = st.builds(Spec, st.lists(paths, max_size=3, unique=True).map(tuple), mask_lists)
restrictions = st.builds(Spec, st.just(()), mask_lists)
scalars = st.one_of(st.integers(0, 2), st.sampled_from(["x", "y"]), st.none())
names = st.sampled_from([*NAMES, "a.b", "b.c", "a.b.c"])
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=3), max_leaves=6
)
records = st.dictionaries(names, values, min_size=1, max_size=4)


def leaves(value: Any, place: str = "") -> set[tuple[str, str]]:
    """The scalars of a record with the paths to them, without places in arrays."""
    if isinstance(value, dict):
        return {leaf for name, inner in value.items() for leaf in leaves(inner, f"{place}/{name}")}
    if isinstance(value, list):
        return {leaf for inner in value for leaf in leaves(inner, place)}
    return {(place, json.dumps(value))}


def is_mask(leaf: tuple[str, str]) -> bool:
    return leaf[1] == '"***"' or leaf[1].startswith('"tok_') or len(leaf[1]) == 66


@given(st.lists(grants, min_size=1, max_size=3), st.lists(restrictions, max_size=2), restrictions, records, records)
def test_one_restriction_more_never_shows_more(
    granted: list[Spec], forced: list[Spec], more: Spec, one: dict[str, Any], two: dict[str, Any]
) -> None:
    """Whoever could not tell two records apart before cannot with one restriction more."""
    before, after = combine(granted, forced, KEY), combine(granted, [*forced, more], KEY)
    if before.show(one) == before.show(two):
        assert after.show(one) == after.show(two)
    assert {leaf for leaf in leaves(after.show(one)) if not is_mask(leaf)} <= leaves(before.show(one))


@given(st.lists(grants, min_size=1, max_size=3), restrictions, records, st.data())
def test_what_differs_in_hidden_places_alone_looks_the_same(
    granted: list[Spec], more: Spec, record: dict[str, Any], data: st.DataObject
) -> None:
    """Two records that one plan shows alike are alike to every stricter one: the second is made from the first."""
    before = combine(granted, [], KEY)
    name = data.draw(st.sampled_from(sorted(record)))
    changed = {**record, name: data.draw(values)}
    if before.show(record) == before.show(changed):
        after = combine(granted, [more], KEY)
        assert after.show(record) == after.show(changed)


@given(st.lists(grants, min_size=2, max_size=3), records)
def test_together_grants_show_in_clear_what_one_of_them_does(granted: list[Spec], record: dict[str, Any]) -> None:
    """No more than each alone, put together; and nothing that one of them shows in clear is lost."""
    together = {leaf for leaf in leaves(combine(granted, [], KEY).show(record)) if not is_mask(leaf)}
    alone = {leaf for each in granted for leaf in leaves(combine([each], [], KEY).show(record)) if not is_mask(leaf)}
    assert together == alone


@given(st.lists(grants, min_size=1, max_size=2), st.lists(restrictions, max_size=2), records)
def test_what_is_shown_is_shown_again(granted: list[Spec], forced: list[Spec], record: dict[str, Any]) -> None:
    """Nothing of a record is changed by looking at it, and the same record looks the same."""
    kept = json.dumps(record)
    made = combine(granted, forced, KEY)
    assert made.show(record) == made.show(json.loads(kept))
    assert json.dumps(record) == kept


def test_clear_is_the_least() -> None:
    """The order that the minimum and the maximum go by."""
    assert sorted([DROP, REDACT, HASH, TOKEN, CLEAR]) == [CLEAR, TOKEN, HASH, REDACT, DROP]
