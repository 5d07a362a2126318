"""Resources in order, conditions applied, references checked."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.template.errors import TemplateError
from localcloud.template.graph import Graph, build_graph
from localcloud.template.scope import Scope
from localcloud.template.stack import stack_context


def _graph(resources: dict, **body: object) -> Graph:
    conditions = body.pop("Conditions", {})
    scope = Scope(context=stack_context(Path()), parameters={"Env": "dev"}, conditions=conditions)
    return build_graph({"Resources": resources, **body}, scope)


def _resource(**properties: object) -> dict:
    return {"Type": "T::S::R", "Properties": properties}


CONDITIONS = {"On": {"Fn::Equals": [{"Ref": "Env"}, "dev"]}, "Off": {"Fn::Not": [{"Condition": "On"}]}}


@pytest.mark.parametrize(
    "reference",
    [
        {"Ref": "B"},
        {"Fn::GetAtt": ["B", "Arn"]},
        {"Fn::GetAtt": "B.Arn"},
        {"Fn::Sub": "x${B}"},
        {"Fn::Sub": "x${B.Arn}"},
        {"Fn::Sub": ["${v}", {"v": {"Ref": "B"}}]},
        {"Fn::Join": ["", ["a", {"Ref": "B"}]]},
        {"Fn::If": ["On", {"Ref": "B"}, 1]},
        {"Fn::Select": [0, {"Fn::Split": [",", {"Ref": "B"}]}]},
        {"Fn::Base64": {"Ref": "B"}},
        [{"deep": [{"Ref": "B"}]}],
    ],
)
def test_a_reference_makes_a_dependency(reference: object) -> None:
    """In every form, B is made before A although A stands first."""
    graph = _graph({"A": _resource(x=reference), "B": _resource()}, Conditions=CONDITIONS)
    assert list(graph.nodes) == ["B", "A"]
    assert graph.nodes["A"].needs == ("B",)


@pytest.mark.parametrize(
    "value",
    [
        "B",
        {"Ref": "Env"},
        {"Ref": "AWS::Region"},
        {"Fn::Sub": "${!B}"},
        {"Fn::Sub": ["${B}", {"B": "own"}]},
        {"Fn::If": ["Off", {"Ref": "B"}, 1]},
        {"Ref": "B", "and": "more"},
    ],
)
def test_what_is_no_reference_makes_no_dependency(value: object) -> None:
    """Text, parameters, escapes, a Sub's own variables, and the branch that is not taken."""
    assert _graph({"A": _resource(x=value), "B": _resource()}, Conditions=CONDITIONS).nodes["A"].needs == ()


@pytest.mark.parametrize("depends_on", ["B", ["B"]])
def test_depends_on_is_a_dependency(depends_on: object) -> None:
    """One name or a list."""
    graph = _graph({"A": {**_resource(), "DependsOn": depends_on}, "B": _resource()})
    assert list(graph.nodes) == ["B", "A"]


def test_a_condition_leaves_out_resources_and_outputs() -> None:
    """DependsOn to one that is left out is no error; its outputs are left out too."""
    graph = _graph(
        {"A": {**_resource(), "DependsOn": ["B"]}, "B": {**_resource(), "Condition": "Off"}},
        Conditions=CONDITIONS,
        Outputs={"X": {"Value": {"Ref": "B"}, "Condition": "Off"}, "Y": {"Value": {"Ref": "A"}}},
    )
    assert (list(graph.nodes), list(graph.outputs)) == (["A"], ["Y"])


@pytest.mark.parametrize(
    ("resources", "body", "message"),
    [
        ({}, {}, "Resources: at least one resource is needed"),
        ({"A-1": _resource()}, {}, "Resources.A-1: a logical id has letters and digits only"),
        ({"A": {}}, {}, "Resources.A: every resource must be a map with a Type"),
        ({"A": {**_resource(), "Propertys": {}}}, {}, "Resources.A: Propertys is no attribute of a resource"),
        ({"A": {"Type": "T", "Properties": []}}, {}, None),
        ({"A": {"Type": "T", "Properties": ["x"]}}, {}, "Resources.A.Properties: must be a map"),
        ({"A": {**_resource(), "DependsOn": "B"}}, {}, "Resources.A.DependsOn: B is no resource of this stack"),
        ({"A": {**_resource(), "Condition": "No"}}, {}, "Resources.A.Condition: there is no condition No"),
        ({"A": _resource(x=[{"Ref": "B"}])}, {}, "Resources.A.Properties.x[0].Ref: B is no parameter, and no resource"),
        ({"A": _resource(x={"Fn::Sub": "${B.C}"})}, {}, "Resources.A.Properties.x.Fn::Sub: B is no parameter"),
        (
            {"A": _resource(x={"Ref": "B"}), "B": {**_resource(), "Condition": "Off"}},
            {"Conditions": CONDITIONS},
            "Resources.A.Properties.x.Ref: B is left out by its condition",
        ),
        ({"A": _resource()}, {"Outputs": {"X": 1}}, "Outputs.X: must be a map with a Value"),
        ({"A": _resource()}, {"Outputs": {"X": {"Value": {"Ref": "B"}}}}, "Outputs.X.Value.Ref: B is no parameter"),
        ({"A": _resource()}, {"Conditions": {"C": {"Ref": "Env"}}}, "Conditions.C.Ref: Ref is no condition function"),
        (
            {"A": _resource(x={"Ref": "B"}), "B": _resource(x={"Ref": "C"}), "C": {**_resource(), "DependsOn": "B"}},
            {},
            "Resources: circular dependency between resources: B -> C -> B",
        ),
        ({"A": _resource(x={"Ref": "A"})}, {}, "Resources: circular dependency between resources: A -> A"),
        ({f"R{n}": _resource() for n in range(501)}, {}, "Resources: has 501 entries, CloudFormation takes 500"),
        (
            {"A": _resource()},
            {"Outputs": {f"O{n}": {"Value": "x"} for n in range(201)}},
            "Outputs: has 201 entries, CloudFormation takes 200",
        ),
    ],
)
def test_wrong_templates_are_named(resources: dict, body: dict, message: str | None) -> None:
    """The error holds the path; None marks what is still right (an empty list for a map, as YAML's empty value)."""
    if message is None:
        assert _graph(resources, **body).nodes
        return
    with pytest.raises(TemplateError) as caught:
        _graph(resources, **body)
    assert str(caught.value)[: len(message)] == message


@given(st.data())
def test_any_graph_without_circles_is_ordered(data: st.DataObject) -> None:
    """Whatever the order in the template: all that a resource needs comes before it, nothing is lost."""
    count = data.draw(st.integers(1, 12))
    names = [f"R{n}" for n in range(count)]
    needs = {
        name: data.draw(st.lists(st.sampled_from(names[:index]), max_size=3)) if index else []
        for index, name in enumerate(names)
    }
    shuffled = data.draw(st.permutations(names))
    resources = {name: _resource(x=[{"Ref": other} for other in needs[name]]) for name in shuffled}
    order = list(_graph(resources).nodes)
    assert sorted(order) == sorted(names)
    assert all(order.index(other) < order.index(name) for name in names for other in needs[name])
