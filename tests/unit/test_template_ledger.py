"""The ledger: a line for each resource and property, from the handlers' tables alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from localcloud.template.graph import Graph, build_graph
from localcloud.template.handler import Physical, Resource, Support, Supported
from localcloud.template.ledger import Ledger, Line, make_ledger
from localcloud.template.scope import Scope
from localcloud.template.stack import stack_context

SERVED, PARTIAL, REFUSED = Support.SERVED, Support.PARTIAL, Support.REFUSED


class TableHandler:
    """A handler that is only a table."""

    type = "T::S::R"

    def __init__(self, properties: Mapping[str, Supported], support: Supported | None = None) -> None:
        self.properties = properties
        self.support = support or Supported()

    async def create(self, resource: Resource) -> Physical:
        """Never called by the ledger."""
        raise AssertionError(resource)

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Never called by the ledger."""
        raise AssertionError(resource, physical)


TABLE = {
    "Plain": Supported(),
    "Partly": Supported(PARTIAL, "known difference"),
    "Never": Supported(REFUSED, "no such thing here"),
    "Mode": Supported(values=("a", 1, True), reason="only simple modes"),
    "Whole": Supported(),
    "Whole.Except": Supported(REFUSED, "not this one"),
    "Named.Known": Supported(),
    "Named.Deep.Known": Supported(PARTIAL, "deep"),
}


def _graph(properties: dict, **entry: object) -> Graph:
    scope = Scope(
        context=stack_context(Path()),
        parameters={"Env": "a"},
        conditions={"On": {"Fn::Equals": [{"Ref": "Env"}, "a"]}},
    )
    resource = {"Type": "T::S::R", "Properties": properties, **entry}
    return build_graph({"Resources": {"R": resource, "Other": {"Type": "T::S::R"}}}, scope)


def _facts(properties: dict, **entry: object) -> list[tuple[str, Support]]:
    ledger = make_ledger(_graph(properties, **entry), {"T::S::R": TableHandler(TABLE)})
    return [(line.property, line.support) for line in ledger.of("R")[1:]]


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({}, []),
        ({"Plain": 1}, [("Plain", SERVED)]),
        ({"Plain": {"any": {"thing": 1}}}, [("Plain", SERVED)]),
        ({"Partly": 1, "Never": 2}, [("Partly", PARTIAL), ("Never", REFUSED)]),
        ({"Unknown": 1}, [("Unknown", REFUSED)]),
        ({"Mode": "a"}, [("Mode", SERVED)]),
        ({"Mode": "1"}, [("Mode", SERVED)]),
        ({"Mode": "true"}, [("Mode", SERVED)]),
        ({"Mode": "b"}, [("Mode", REFUSED)]),
        ({"Mode": ["a", 1]}, [("Mode", SERVED)]),
        ({"Mode": ["a", "b"]}, [("Mode", REFUSED)]),
        ({"Mode": {"Ref": "Env"}}, [("Mode", SERVED)]),
        ({"Mode": {"Ref": "Other"}}, [("Mode", SERVED)]),
        ({"Mode": {"Fn::If": ["On", "b", "a"]}}, [("Mode", REFUSED)]),
        ({"Unknown": {"Ref": "AWS::NoValue"}}, []),
        ({"Unknown": {"Fn::If": ["On", {"Ref": "AWS::NoValue"}, 1]}}, []),
        ({"Whole": {"This": 1}}, [("Whole", SERVED), ("Whole.This", SERVED)]),
        ({"Whole": {"Except": 1}}, [("Whole", SERVED), ("Whole.Except", REFUSED)]),
        ({"Whole": {"Ref": "Other"}}, [("Whole", SERVED)]),
        ({"Named": {"Known": 1}}, [("Named.Known", SERVED)]),
        ({"Named": {"Unknown": 1}}, [("Named.Unknown", REFUSED)]),
        ({"Named": {"Deep": {"Known": 1, "No": 2}}}, [("Named.Deep.Known", PARTIAL), ("Named.Deep.No", REFUSED)]),
        ({"Named": [{"Known": 1}, {"Known": 2, "No": 3}]}, [("Named.Known", SERVED), ("Named.No", REFUSED)]),
        ({"Named": {}}, [("Named", SERVED)]),
        ({"Named": []}, [("Named", SERVED)]),
        ({"Named": "text"}, [("Named", REFUSED)]),
        ({"Named": {"Ref": "Other"}}, [("Named", REFUSED)]),
    ],
)
def test_each_property_is_judged_by_the_table(properties: dict, expected: list) -> None:
    """What no entry names is refused; a property's own entry stands for all inside it except dotted entries."""
    assert _facts(properties) == expected


def test_a_type_without_a_handler_is_refused() -> None:
    """One line, that names the type."""
    ledger = make_ledger(_graph({"Plain": 1}), {})
    assert ledger.of("R") == (Line("R", "T::S::R", "", REFUSED, "T::S::R is not served here"),)


def test_a_handler_may_refuse_its_type() -> None:
    """The properties of a refused resource need no lines."""
    handler = TableHandler({}, Supported(REFUSED, "later"))
    assert make_ledger(_graph({"Plain": 1}), {"T::S::R": handler}).of("R") == (
        Line("R", "T::S::R", "", REFUSED, "later"),
    )


def test_policies_of_a_resource_have_lines() -> None:
    """Retain is partial, Delete is what happens anyway, an update never comes, signals are refused."""
    entry = {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Delete", "CreationPolicy": {}, "UpdatePolicy": {}}
    assert _facts({}, **entry) == [("CreationPolicy", REFUSED), ("DeletionPolicy", PARTIAL), ("UpdatePolicy", PARTIAL)]


@pytest.mark.parametrize(
    ("allow", "refused"),
    [
        ((), ["Never", "Named.Deep.No", "Other2"]),
        (("T::S::R",), []),
        (("R",), []),
        (("T::S::R.Never",), ["Named.Deep.No", "Other2"]),
        (("R.Never", "R.Other2"), ["Named.Deep.No"]),
        (("R.Named",), ["Never", "Other2"]),
        (("R.Named.Deep",), ["Never", "Other2"]),
        (("R.Named.Deep.No", "Other"), ["Never", "Other2"]),
        (("T::S", "R.Nev"), ["Never", "Named.Deep.No", "Other2"]),
    ],
)
def test_what_is_allowed_no_longer_ends_the_start(allow: tuple[str, ...], refused: list[str]) -> None:
    """By type or logical id, the whole or one property with all inside it; parts of names allow nothing."""
    properties = {"Never": 1, "Named": {"Deep": {"No": 1}}, "Other2": 1, "Plain": 1}
    ledger = make_ledger(_graph(properties), {"T::S::R": TableHandler(TABLE)}, allow=allow)
    assert [line.property for line in ledger.refused] == refused


def test_a_name_that_allows_nothing_is_said() -> None:
    """A mistyped name does not pass for one that was heeded."""
    ledger = make_ledger(_graph({"Never": 1}), {"T::S::R": TableHandler(TABLE)}, allow=("R.Nevre", "R.Never"))
    assert ledger.unused == ("R.Nevre",)
    assert "  --allow R.Nevre: nothing of that name is refused" in ledger.text().splitlines()


def _example() -> Ledger:
    properties = {"Plain": 1, "Partly": 1, "Never": 2}
    return make_ledger(_graph(properties), {"T::S::R": TableHandler(TABLE)}, allow=("R.Never",))


def test_the_text_counts_first_and_shows_what_is_not_plainly_served() -> None:
    """A person reads the counts, then the gravest."""
    assert _example().text().splitlines() == [
        "ledger: 3 served, 0 delegated, 1 partial, 0 refused, 1 allowed",
        "  allowed   R.Never (T::S::R): no such thing here",
        "  partial   R.Partly (T::S::R): known difference",
    ]


def test_alike_lines_are_shown_once() -> None:
    """Two resources with the same refusal: one line with both names."""
    text = make_ledger(_graph({}), {}).text()
    assert text.splitlines()[1:] == ["  refused   R (T::S::R): T::S::R is not served here [and Other]"]


def test_the_json_form_has_every_line() -> None:
    """What `status --json` gives to scripts."""
    assert _example().to_json()[:3] == [
        {"resource": "R", "type": "T::S::R", "property": "", "support": "served", "reason": "", "allowed": False},
        {"resource": "R", "type": "T::S::R", "property": "Plain", "support": "served", "reason": "", "allowed": False},
        {
            "resource": "R",
            "type": "T::S::R",
            "property": "Partly",
            "support": "partial",
            "reason": "known difference",
            "allowed": False,
        },
    ]


def test_a_difference_of_one_value_is_told_where_that_value_stands() -> None:
    """Two resources of one type: the one whose value differs here is partial, the other is served."""
    kind = Supported(values=("old", "new"), differs=lambda value: "new is near enough" if value == "new" else "")
    graph = build_graph(
        {"Resources": {name: {"Type": "T::S::R", "Properties": {"Kind": name}} for name in ("old", "new", "odd")}},
        Scope(context=stack_context(Path())),
    )
    ledger = make_ledger(graph, {"T::S::R": TableHandler({"Kind": kind})})
    told = [(line.logical_id, line.support, line.reason) for line in ledger.lines if line.property]
    assert told[:2] == [("old", SERVED, ""), ("new", PARTIAL, "new is near enough")]
    assert told[2][:2] == ("odd", REFUSED)
