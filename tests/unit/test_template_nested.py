"""Nested stacks before anything is made: their templates, parameters and ledger lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from localcloud.template.errors import TemplateError
from localcloud.template.handler import RefusedHandler, ResourceHandler
from localcloud.template.ledger import make_ledger
from localcloud.template.source import Source
from localcloud.template.stack import Settled, Stack, prepare_stack, stack_context

STACK = "AWS::CloudFormation::Stack"


def _write(folder: Path, name: str, body: dict[str, Any]) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(body))


def _prepare(folder: Path, properties: dict[str, Any], **others: dict[str, Any]) -> Stack:
    resources = {"Child": {"Type": STACK, "Properties": properties}, **others}
    return prepare_stack(Source(folder / "t.yaml", {"Resources": resources}), stack_context(folder), Settled())


def test_the_ledger_has_the_lines_of_what_is_inside_by_dotted_ids(tmp_path: Path) -> None:
    """What is refused inside ends the start, and is allowed by its own name."""
    _write(
        tmp_path, "in/child.json", {"Resources": {"Deep": {"Type": STACK, "Properties": {"TemplateURL": "deep.json"}}}}
    )
    _write(tmp_path, "in/deep.json", {"Resources": {"Net": {"Type": "AWS::EC2::VPC"}}})
    graph = _prepare(tmp_path, {"TemplateURL": "in/child.json"}).graph
    handlers: dict[str, ResourceHandler] = {STACK: RefusedHandler(STACK, "for the test")}
    lines = [line.logical_id for line in make_ledger(graph, handlers).lines]
    assert lines == ["Child", "Child.Deep", "Child.Deep.Net"]
    refused = make_ledger(graph, handlers, allow=["Child.Deep.Net", STACK])
    assert (refused.refused, refused.unused) == ((), ())
    assert str(make_ledger(graph, handlers).refused[-1]) == (
        "refused   Child.Deep.Net (AWS::EC2::VPC): "
        "there are no networks here: functions run on this machine and reach what it reaches"
    )


def test_parameters_that_wait_for_a_resource_are_stood_in_for(tmp_path: Path) -> None:
    """The rest is known, so conditions that hang on it are true or false before anything is made."""
    child = {
        "Parameters": {
            "Stage": {"Type": "String"},
            "Url": {"Type": "String", "AllowedPattern": "https://.*"},
            "Size": {"Type": "Number", "MinValue": 7},
        },
        "Conditions": {"IsProd": {"Fn::Equals": [{"Ref": "Stage"}, "prod"]}},
        "Resources": {"A": {"Type": "T", "Condition": "IsProd"}, "B": {"Type": "T"}},
    }
    _write(tmp_path, "child.json", child)
    given = {"Stage": "dev", "Url": {"Fn::GetAtt": "Queue.QueueUrl"}, "Size": {"Ref": "Queue"}}
    graph = _prepare(tmp_path, {"TemplateURL": "child.json", "Parameters": given}, Queue={"Type": "T"}).graph
    nested = graph.nested["Child"]
    assert list(nested.nodes) == ["B"]
    assert nested.scope.parameters == {"Stage": "dev", "Url": "pending-Url", "Size": "7"}
    assert nested.scope.context.stack_name == "sluiceway-Child"
    assert graph.nodes["Child"].needs == ("Queue",)


def test_code_of_a_nested_template_is_beside_it(tmp_path: Path) -> None:
    """Its paths are relative to its own folder, an outer template's stay as written."""
    function = {"Type": "AWS::Lambda::Function", "Properties": {"Code": "src"}}
    _write(tmp_path, "in/child.json", {"Resources": {"F": function}})
    graph = _prepare(tmp_path, {"TemplateURL": "in/child.json"}, F=function).graph
    assert graph.nodes["F"].properties["Code"] == "src"
    assert graph.nested["Child"].nodes["F"].properties["Code"] == str(tmp_path / "in/src")


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"TemplateURL": "https://s3.amazonaws.com/b/t.yaml"}, "must be a file on this machine"),
        ({"TemplateURL": {"Fn::GetAtt": "Q.Url"}}, "must be text that is known before anything is made"),
        ({"TemplateURL": "none.json"}, "cannot be read: No such file"),
        ({"TemplateURL": "child.json", "Parameters": {"P": ["a"]}}, "Parameters.P: must be text"),
        ({"TemplateURL": "child.json", "Parameters": {"X": "a"}}, "Child/Parameters: Parameters: [X] do not exist"),
        ({"TemplateURL": "child.json", "Parameters": {"X": {"Ref": "Q"}}}, "Parameters: [X] do not exist"),
        ({"TemplateURL": "self.json"}, "stacks are nested more than 10 deep"),
    ],
)
def test_what_is_no_nested_stack_is_refused(tmp_path: Path, properties: dict[str, Any], message: str) -> None:
    """Before anything is made, a template that names itself too."""
    _write(
        tmp_path,
        "child.json",
        {"Parameters": {"P": {"Type": "String", "Default": "p"}}, "Resources": {"R": {"Type": "T"}}},
    )
    _write(tmp_path, "self.json", {"Resources": {"S": {"Type": STACK, "Properties": {"TemplateURL": "self.json"}}}})
    with pytest.raises(TemplateError) as caught:
        _prepare(tmp_path, properties, Q={"Type": "T"})
    assert message in str(caught.value)
