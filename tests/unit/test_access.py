"""Access: statements by topic, what callers of several groups see together, and how a wrong statement is named."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.errors import Misconfigured, Rejected
from sluiceway.rules.access import NOBODY, AccessRules, Viewer, read_viewer
from sluiceway.rules.masking import MaskKey
from tests.unit.test_event_pattern_cost import pigeons
from tests.unit.test_masking import is_mask, leaves, records
from tests.unit.test_subscriptions import ORDER

KEY = MaskKey("k1", bytes(32))


def seen(statements: Any, record: Any, *groups: str, tenant: str = "") -> Any:
    """What the groups see of a record; "forbidden" where they may not read the topic."""
    view = AccessRules({"orders": statements}, "ACCESS", key=KEY).view("orders", Viewer(groups, tenant))
    return "forbidden" if view is None else view.show(record)


# ---------------------------------------------------------------- who may read at all


def test_what_nothing_allows_is_forbidden() -> None:
    """No statements, no group of theirs, or a topic that nobody has declared."""
    rules = AccessRules({"orders": [{"allow": ["analysts"]}], "prices": "public"}, "ACCESS")
    assert rules.view("orders", NOBODY) is None
    assert rules.view("orders", Viewer(("sales",))) is None
    assert rules.view("secrets", Viewer(("analysts",))) is None
    assert rules.view("orders", Viewer(("sales", "analysts"))) is not None
    assert rules.view("prices", NOBODY) is not None
    assert AccessRules({}, "ACCESS").view("orders", Viewer(("analysts",))) is None


def test_a_public_topic_is_seen_whole_by_everyone() -> None:
    """As `{"allow": "*"}`."""
    assert seen("public", ORDER) == seen([{"allow": "*"}], ORDER, "anybody") == ORDER


def test_rows_columns_and_masks_of_one_statement() -> None:
    """Records of the rows alone, the columns of them, masked."""
    limited = [{"allow": ["limited"], "rows": {"id": [7]}, "columns": ["id", "customer"], "masks": {"id": "redact"}}]
    assert seen(limited, ORDER, "limited") == {"id": "***", "customer": {"name": "Ann", "city": "Oslo"}}
    assert seen(limited, {**ORDER, "id": 8}, "limited") is None
    assert seen([{"allow": ["limited"], "columns": ["nowhere"]}], ORDER, "limited") == {}


def test_columns_are_of_the_rows_that_they_were_allowed_with() -> None:
    """Two statements put together show no column of a row that neither of them shows."""
    statements = [
        {"allow": ["a"], "rows": {"id": [7]}, "columns": ["customer.name"]},
        {"allow": ["b"], "columns": ["id"]},
    ]
    assert seen(statements, ORDER, "a", "b") == {"id": 7, "customer": {"name": "Ann"}}
    assert seen(statements, {**ORDER, "id": 8}, "a", "b") == {"id": 8}


def test_a_denial_counts_whatever_is_allowed() -> None:
    """Columns, masks, rows; for everyone but who is spared; alone it takes the topic."""
    base = [{"allow": ["all"]}]
    assert "customer" not in seen([*base, {"deny": ["interns"], "columns": ["customer"]}], ORDER, "all", "interns")
    assert seen([*base, {"deny": ["interns"], "columns": ["customer"]}], ORDER, "all") == ORDER
    card = [*base, {"deny": "*", "except": ["security"], "masks": {"customer.name": "redact"}}]
    assert seen(card, ORDER, "all")["customer"] == {"name": "***", "city": "Oslo"}
    assert seen(card, ORDER, "all", "security") == ORDER
    rows = [*base, {"deny": "*", "rows": {"customer": {"city": ["Oslo"]}}}]
    assert seen(rows, ORDER, "all") is None
    assert seen(rows, {"id": 1}, "all") == {"id": 1}
    some = [*base, {"deny": "*", "rows": {"id": [{"numeric": [">", 5]}]}, "columns": ["customer"]}]
    assert "customer" not in seen(some, ORDER, "all")
    assert seen(some, {**ORDER, "id": 1}, "all")["customer"] == ORDER["customer"]
    assert seen([*base, {"deny": ["blocked"]}], ORDER, "all", "blocked") == "forbidden"


def test_a_tenant_sees_its_own_rows() -> None:
    """`${tenant}` is the token's; who has none is allowed nothing by it, and denied everything."""
    allowing = [{"allow": "*", "rows": {"tenant": ["${tenant}"]}}]
    assert seen(allowing, {"tenant": "acme"}, tenant="acme") == {"tenant": "acme"}
    odd = 'x"],"tenant":["acme'
    assert seen(allowing, {"tenant": "acme"}, tenant=odd) is None
    assert seen(allowing, {"tenant": odd}, tenant=odd) == {"tenant": odd}
    assert seen(allowing, {"tenant": ""}) == "forbidden"
    assert seen(allowing, {"tenant": "${tenant}"}, tenant="acme") is None
    denying = [{"allow": "*"}, {"deny": "*", "rows": {"tenant": [{"anything-but": "${tenant}"}]}, "columns": ["price"]}]
    assert seen(denying, {"tenant": "acme", "price": 1}, tenant="acme") == {"tenant": "acme", "price": 1}
    assert seen(denying, {"tenant": "acme", "price": 1}, tenant="other") == {"tenant": "acme"}
    assert seen(denying, {"tenant": "acme", "price": 1}) == {"tenant": "acme"}


def test_a_record_that_no_pattern_can_be_judged_on_is_hidden() -> None:
    """None of an allowing statement's rows, and one of a denying one's."""
    pattern, puzzle = pigeons(9)
    assert seen([{"allow": "*", "rows": pattern}], puzzle) is None
    assert seen([{"allow": "*"}, {"deny": "*", "rows": pattern}], puzzle) is None


def test_views_of_those_who_see_the_same_have_one_name() -> None:
    """Groups and tenants that no statement speaks of make no other view; those that one does, do."""
    rules = AccessRules(
        {"orders": [{"allow": ["a"]}, {"allow": ["b"], "rows": {"tenant": ["${tenant}"]}}]}, "ACCESS", key=KEY
    )

    def name(*groups: str, tenant: str = "") -> str:
        view = rules.view("orders", Viewer(groups, tenant))
        assert view is not None
        return view.name

    assert name("a") == name("a", "x") == name("x", "a", tenant="acme")
    assert (
        len({name("a"), name("a", "b", tenant="acme"), name("a", "b", tenant="other"), name("b", tenant="acme")}) == 4
    )


# ---------------------------------------------------------------- properties

groups = st.sampled_from(["g", "h"])
group_lists = st.lists(groups, min_size=1, max_size=2, unique=True)
rows = st.sampled_from(
    [
        {"a": [0]},
        {"a": ["x"]},
        {"b": [{"exists": False}]},
        {"a.b": [1]},
        {"c": [{"anything-but": "y"}]},
        {"a": {"c": [None]}},
    ]
)
columns = st.lists(st.sampled_from(["a", "b", "c", "a.b", "b.c", "a.b.c"]), min_size=1, max_size=2)
masks = st.dictionaries(
    st.sampled_from(["a", "b", "a.b", "b.a.c"]),
    st.sampled_from(["hash", "tokenise", "redact", "drop"]),
    min_size=1,
    max_size=2,
)


def some(**optional: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=optional)


allows = st.builds(lambda who, rest: {"allow": who, **rest}, group_lists, some(rows=rows, columns=columns, masks=masks))
denials = st.builds(lambda who, rest: {"deny": who, **rest}, group_lists, some(rows=rows, columns=columns, masks=masks))
who = st.lists(groups, max_size=2, unique=True)


@given(st.lists(allows, min_size=1, max_size=3), st.lists(denials, max_size=2), denials, who, records)
def test_one_denial_more_never_shows_more(
    granted: list[Any], denied: list[Any], more: Any, callers: list[str], record: dict[str, Any]
) -> None:
    """No topic, no record and no value in clear that was not seen without it."""
    before, after = (seen([*granted, *denied, *rest], record, *callers) for rest in ([], [more]))
    if before == "forbidden":
        assert after == "forbidden"
    elif before is None:
        assert after in (None, "forbidden")
    elif isinstance(after, dict):
        assert {leaf for leaf in leaves(after) if not is_mask(leaf)} <= leaves(before)


@given(st.lists(allows, min_size=1, max_size=3), st.lists(denials, max_size=2), who, records, st.data())
def test_a_narrower_grant_never_shows_more(
    granted: list[Any], denied: list[Any], callers: list[str], record: dict[str, Any], data: st.DataObject
) -> None:
    """A grant that is taken away, or has a mask more, shows no record and no value in clear that it did not show."""
    at = data.draw(st.integers(0, len(granted) - 1))
    changed = [*granted[:at], *granted[at + 1 :]]
    if data.draw(st.booleans()):
        path, mask = data.draw(st.sampled_from(["a", "b.c", "c"])), data.draw(st.sampled_from(["hash", "drop"]))
        if path not in granted[at].get("masks", {}):
            narrower = {**granted[at], "masks": {**granted[at].get("masks", {}), path: mask}}
            changed = [*granted[:at], narrower, *granted[at + 1 :]]
    before = seen([*granted, *denied], record, *callers)
    after = seen([*changed, *denied], record, *callers) if changed or denied else "forbidden"
    if isinstance(after, dict):
        assert isinstance(before, dict)
        assert {leaf for leaf in leaves(after) if not is_mask(leaf)} <= leaves(before)


@given(st.lists(allows, min_size=1, max_size=3), records)
def test_together_groups_see_what_one_of_them_sees(granted: list[Any], record: dict[str, Any]) -> None:
    """Without denials: the union, value by value, of what each group alone sees in clear; never a combination."""

    def clear(*callers: str) -> set[tuple[str, str]]:
        shown = seen(granted, record, *callers)
        return {leaf for leaf in leaves(shown) if not is_mask(leaf)} if isinstance(shown, dict) else set()

    assert clear("g", "h") == clear("g") | clear("h")


# ---------------------------------------------------------------- statements that are wrong


@pytest.mark.parametrize(
    ("statement", "place"),
    [
        ({}, "[0]"),
        ("x", "[0]"),
        ({"allow": ["a"], "deny": ["b"]}, "[0]"),
        ({"allow": ["a"], "except": ["b"]}, "[0]"),
        ({"allow": "a"}, "[0].allow"),
        ({"allow": []}, "[0].allow"),
        ({"allow": [1]}, "[0].allow"),
        ({"deny": "*", "except": "*"}, "[0].except"),
        ({"allow": "*", "rows": []}, "[0].rows"),
        ({"allow": "*", "rows": {"a": [{"sounds-like": "x"}]}}, "[0].rows.a"),
        ({"allow": "*", "columns": []}, "[0].columns"),
        ({"allow": "*", "columns": ["a", "b..c"]}, "[0].columns[1]"),
        ({"allow": "*", "masks": {}}, "[0].masks"),
        ({"allow": "*", "masks": {"a.": "hash"}}, "[0].masks.a."),
        ({"allow": "*", "masks": {"a": "scramble"}}, "[0].masks.a"),
        ({"allow": "*", "masks": {"a": {"mask": "hash", "salt": "x"}}}, "[0].masks.a"),
        ({"allow": "*", "masks": {"a": {"mask": "hash", "domain": ""}}}, "[0].masks.a"),
    ],
)
def test_a_wrong_statement_is_named(statement: Any, place: str) -> None:
    """The setting, the topic, the statement and the member; when it is checked, and when it is asked for."""
    rules = AccessRules({"orders": [statement]}, "ACCESS", key=KEY)
    for ask in (lambda: rules.check({"orders"}), lambda: rules.view("orders", NOBODY)):
        with pytest.raises(Misconfigured) as caught:
            ask()
        assert caught.value.what == "ACCESS"
        assert str(caught.value).startswith(f"ACCESS.orders{place}")


@pytest.mark.parametrize("declared", ["private", [], {}, None, [{"allow": "*"}] * 65])
def test_a_topic_is_public_or_has_statements(declared: Any) -> None:
    """Anything else is refused at once."""
    with pytest.raises(Misconfigured, match=r"ACCESS\.orders"):
        AccessRules({"orders": declared}, "ACCESS")


def test_statements_of_no_topic_and_masks_without_a_key_are_refused() -> None:
    """A topic that was renamed must not leave its statements behind; a hash without a key would be no mask."""
    with pytest.raises(Misconfigured, match=r"ACCESS\.prices is no topic"):
        AccessRules({"orders": "public", "prices": "public"}, "ACCESS").check({"orders"})
    with pytest.raises(Misconfigured, match="MASK_KEY"):
        AccessRules({"orders": [{"allow": "*", "masks": {"a": "hash"}}]}, "ACCESS").check({"orders"})


# ---------------------------------------------------------------- viewers


def test_a_viewer_is_its_name() -> None:
    """Order and repetition of groups do not matter; nobody in particular is the empty text."""
    assert Viewer(("b", "a", "b"), "acme").name == Viewer(("a", "b"), "acme").name
    assert read_viewer(Viewer(("b", "a€"), "acme").name) == Viewer(("a€", "b"), "acme")
    assert NOBODY.name == ""
    assert read_viewer("") == NOBODY


@pytest.mark.parametrize(
    "text", ["x", "[]", "{}", '{"groups":"a","tenant":""}', '{"groups":[1],"tenant":""}', "[" * 9999]
)
def test_what_is_no_viewer_is_refused(text: str) -> None:
    """Nobody is taken for somebody with fewer denials."""
    with pytest.raises(Rejected) as caught:
        read_viewer(text)
    assert caught.value.reason == "invalid-viewer"
    assert json.dumps(text)
