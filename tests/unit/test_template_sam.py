"""Every type, event and policy template of the installed SAM translator, offline."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import pytest

from localcloud.services.iam.policy import parse_document
from localcloud.template.errors import TemplateError
from localcloud.template.intrinsics import find_function
from localcloud.template.source import Source
from localcloud.template.stack import Settled, Stack, prepare_stack, stack_context
from tests.unit.sam_cases import CASES, Case, function


def _prepare(case: Case, base: Path = Path()) -> Stack:
    return prepare_stack(Source(base / "t.yaml", case.body), stack_context(base), Settled())


@pytest.mark.parametrize("name", CASES)
def test_sam_types_and_events_become_cloudformation(name: str) -> None:
    """Each in its own small template."""
    found = {node.type for node in _prepare(CASES[name]).graph.nodes.values()}
    assert found == CASES[name].types


def test_an_application_of_a_local_path_is_a_nested_stack(tmp_path: Path) -> None:
    """Its parameters go in, its outputs are attributes; a SAM template inside is translated, too."""
    inner = {**CASES["Function"].body, "Parameters": {"P": {"Type": "String"}}}
    (tmp_path / "inner.json").write_text(json.dumps(inner))
    application = {"Location": "inner.json", "Parameters": {"P": "p"}}
    case = Case({"App": {"Type": "AWS::Serverless::Application", "Properties": application}}, frozenset())
    graph = _prepare(case, tmp_path).graph
    assert {name: node.type for name, node in graph.nodes.items()} == {"App": "AWS::CloudFormation::Stack"}
    assert {node.type for node in graph.nested["App"].nodes.values()} == CASES["Function"].types
    assert graph.nested["App"].scope.parameters == {"P": "p"}


@pytest.mark.parametrize("kind", ["NetworkConnector", "MicrovmImage", "WebFunction"])
def test_types_that_need_more_are_named_by_the_translator(kind: str) -> None:
    """Its own sentence, with the resource."""
    case = Case({"R": {"Type": f"AWS::Serverless::{kind}", "Properties": {}}}, frozenset())
    with pytest.raises(TemplateError, match=r"Resources\.R: "):
        _prepare(case)


def test_every_policy_template_is_a_policy_that_iam_reads() -> None:
    """All of them on one function: each becomes a statement that the local cloud's IAM takes."""
    data = files("samtranslator.policy_templates_data").joinpath("policy_templates.json").read_text()
    templates: dict[str, Any] = json.loads(data)["Templates"]
    policies = [{name: dict.fromkeys(entry["Parameters"], "x")} for name, entry in templates.items()]
    graph = _prepare(Case({"Fn": function(Policies=policies)}, frozenset())).graph
    documents = [policy["PolicyDocument"] for policy in graph.nodes["FnRole"].properties["Policies"]]
    assert len(documents) == len(templates) >= 81
    assert [document for document in documents if not document["Statement"]] == []
    for document in documents:
        parse_document(json.dumps(_plain(document)))


def _plain(value: Any) -> Any:
    """`value` with a text for every function, whatever it would give."""
    if isinstance(value, list):
        return [_plain(item) for item in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    items = cast("dict[str, Any]", value)
    if find_function(items) is not None:
        return "arn:aws:s3:::x"
    return {key: _plain(item) for key, item in items.items()}


def test_globals_are_merged_into_what_they_are_for() -> None:
    """A function's own value wins, maps are merged."""
    body = CASES["Function"].body
    variables = {"Variables": {"A": "1", "B": "2"}}
    body["Globals"] = {"Function": {"Timeout": 9, "MemorySize": 512, "Environment": variables}}
    body["Resources"] = {"Fn": function(MemorySize=256, Environment={"Variables": {"B": "3"}})}
    stack = prepare_stack(Source(Path("t.yaml"), body), stack_context(Path()), Settled())
    properties = stack.graph.nodes["Fn"].properties
    assert (properties["Timeout"], properties["MemorySize"]) == (9, 256)
    assert properties["Environment"] == {"Variables": {"A": "1", "B": "3"}}
