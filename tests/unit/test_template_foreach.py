"""Loops of AWS::LanguageExtensions: what they write, and which are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from localcloud.template.errors import TemplateError
from localcloud.template.source import Source
from localcloud.template.stack import Settled, Stack, prepare_stack, stack_context


def _prepare(body: dict[str, Any], **parameters: str) -> Stack:
    whole = {"Transform": "AWS::LanguageExtensions", **body}
    return prepare_stack(Source(Path("t.yaml"), whole), stack_context(Path()), Settled(parameters=parameters))


def test_resources_outputs_and_conditions_are_written_once_for_each_member() -> None:
    """`${N}` and `Ref` are the member, `&{N}` the member without signs; a parameter may be the collection."""
    body = {
        "Parameters": {"Names": {"Type": "CommaDelimitedList", "Default": "a,b-c"}},
        "Conditions": {"Fn::ForEach::Cs": ["N", {"Ref": "Names"}, {"Is&{N}": {"Fn::Equals": [{"Ref": "N"}, "a"]}}]},
        "Resources": {
            "Fn::ForEach::Queues": [
                "N",
                {"Ref": "Names"},
                {"Queue&{N}": {"Type": "T", "Properties": {"Name": {"Ref": "N"}, "Path": {"Fn::Sub": "x/${N}"}}}},
            ],
            "Other": {"Type": "T", "Condition": "Isbc"},
        },
        "Outputs": {
            "Fn::ForEach::Out": ["N", ["a", "b-c"], {"Of&{N}": {"Value": {"Fn::GetAtt": ["Queue&{N}", "Arn"]}}}]
        },
    }
    graph = _prepare(body).graph
    assert {name: dict(node.properties) for name, node in graph.nodes.items()} == {
        "Queuea": {"Name": "a", "Path": {"Fn::Sub": "x/a"}},
        "Queuebc": {"Name": "b-c", "Path": {"Fn::Sub": "x/b-c"}},
    }
    assert graph.outputs == {
        "Ofa": {"Value": {"Fn::GetAtt": ["Queuea", "Arn"]}},
        "Ofbc": {"Value": {"Fn::GetAtt": ["Queuebc", "Arn"]}},
    }


def test_loops_inside_loops_and_inside_properties_are_written_out() -> None:
    """The inner one sees the outer one's member."""
    inner = {"Fn::ForEach::In": ["B", ["1", "2"], {"R${A}${B}": {"Type": "T", "Properties": {"ab": "${A}-${B}"}}}]}
    graph = _prepare({"Resources": {"Fn::ForEach::Out": ["A", ["x", "y"], inner]}}).graph
    assert {name: node.properties["ab"] for name, node in graph.nodes.items()} == {
        "Rx1": "x-1", "Rx2": "x-2", "Ry1": "y-1", "Ry2": "y-2",
    }  # fmt: skip
    tags = {"Fn::ForEach::T": ["K", ["p", "q"], {"${K}": "v-${K}"}]}
    graph = _prepare({"Resources": {"R": {"Type": "T", "Properties": {"Map": tags}}}}).graph
    assert graph.nodes["R"].properties == {"Map": {"p": "v-p", "q": "v-q"}}


@pytest.mark.parametrize(
    ("loop", "message"),
    [
        (["N", ["a"], {"Same": {"Type": "T"}}], "a key of the map must have ${N} or &{N} in it"),
        (["N", "a", {"R${N}": {"Type": "T"}}], "the collection must be a list"),
        (["N", [["a"]], {"R${N}": {"Type": "T"}}], "the collection must hold text"),
        (["N", ["a"]], "takes an identifier, a collection, and a map to repeat"),
        (["N N", ["a"], {"R${N}": {"Type": "T"}}], "an identifier has letters and digits only"),
        (["N", ["a-", "a"], {"R&{N}": {"Type": "T"}}], "writes Ra twice"),
        (
            ["N", [str(n) for n in range(501)], {"R${N}": {"Type": "T"}}],
            "the collection has 501 members, 500 are taken",
        ),
    ],
)
def test_what_is_no_loop_is_refused(loop: list[Any], message: str) -> None:
    """By the path of the loop."""
    with pytest.raises(TemplateError) as caught:
        _prepare({"Resources": {"Fn::ForEach::L": loop}})
    assert (caught.value.where.startswith("Resources.Fn::ForEach::L"), message in str(caught.value)) == (True, True)


def test_loops_that_multiply_have_an_end() -> None:
    """Three loops of 400 inside each other would write 64 million entries."""
    many = [str(number) for number in range(400)]
    body: dict[str, Any] = {"R${A}x${B}x${C}": {"Type": "T"}}
    for name in "CBA":
        body = {f"Fn::ForEach::L{name}": [name, many, body]}
    with pytest.raises(TemplateError, match="loops write more than 10000 entries"):
        _prepare({"Resources": body})


@pytest.mark.parametrize(
    ("members", "value", "message"),
    [
        (["x" * 500_000], "${N}" * 20_000, "a member puts more than 1048576 characters into the map"),
        ([str(number) for number in range(300)], "y" * 50_000, "loops write more than 10485760 characters"),
    ],
)
def test_a_loop_has_an_end_in_characters_too(members: list[str], value: str, message: str) -> None:
    """A megabyte of template does not become gigabytes."""
    with pytest.raises(TemplateError, match=message):
        _prepare(
            {"Resources": {"Fn::ForEach::L": ["N", members, {"R&{N}": {"Type": "T", "Properties": {"a": value}}}]}}
        )


def test_a_policy_may_be_a_function_with_the_extensions() -> None:
    """DeletionPolicy by a parameter, as the transform allows."""
    body = {
        "Parameters": {"Keep": {"Type": "String", "Default": "Retain"}},
        "Resources": {"R": {"Type": "T", "DeletionPolicy": {"Ref": "Keep"}}},
    }
    assert _prepare(body).graph.nodes["R"].policies == {"DeletionPolicy": "Retain"}
