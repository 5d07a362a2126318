"""CloudFormation's quotas of templates and stacks, each named in the error of the template that is over it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from localcloud.template.errors import TemplateError
from localcloud.template.source import Source
from localcloud.template.stack import Settled, prepare_stack, stack_context

NAME = "n" * 256
QUEUE = {"Type": "AWS::SQS::Queue"}
STACK = "AWS::CloudFormation::Stack"


def prepare(folder: Path, **sections: Any) -> None:
    body = {"Resources": {"Q": QUEUE}, **sections}
    prepare_stack(Source(folder / "t.yaml", body), stack_context(folder), Settled())


def many(count: int, value: Any) -> dict[str, Any]:
    return {f"N{number}": value for number in range(count)}


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"Description": "d" * 1025}, "Description: has more than 1024 bytes"),
        ({"Description": "é" * 513}, "Description: has more than 1024 bytes"),
        ({"Description": ["d"]}, "Description: must be text"),
        ({"Mappings": many(201, {"a": {"b": "c"}})}, "Mappings: has 201 entries, CloudFormation takes 200"),
        ({"Mappings": {"M": many(201, {"b": "c"})}}, "Mappings.M: has 201 entries, CloudFormation takes 200"),
        ({"Mappings": {NAME: {"a": {"b": "c"}}}}, "Mappings: the name nnn"),
        ({"Mappings": {"M": {NAME: {"b": "c"}}}}, "Mappings.M: the name nnn"),
        ({"Mappings": {"M": {"a": {NAME: "c"}}}}, "Mappings.M.a: the name nnn"),
        ({"Parameters": many(201, {"Type": "String", "Default": ""})}, "Parameters: has 201 entries, CloudFormation"),
        ({"Parameters": {NAME: {"Type": "String", "Default": ""}}}, "Parameters: the name nnn"),
        ({"Parameters": {"P": {"Type": "String", "Default": "v" * 4097}}}, "Parameters.P"),
        ({"Outputs": many(201, {"Value": "v"})}, "Outputs: has 201 entries, CloudFormation takes 200"),
        ({"Outputs": {NAME: {"Value": "v"}}}, "Outputs: the name nnn"),
        ({"Resources": many(501, QUEUE)}, "Resources: has 501 entries, CloudFormation takes 500"),
        ({"Resources": {NAME: QUEUE}}, "Resources: the name nnn"),
    ],
    ids=range(15),
)
def test_a_template_over_a_quota_is_refused_by_its_name(tmp_path: Path, sections: dict[str, Any], said: str) -> None:
    """With the section, and what CloudFormation takes of it."""
    with pytest.raises(TemplateError) as raised:
        prepare(tmp_path, **sections)
    assert str(raised.value).startswith(said)


def test_a_template_at_every_quota_is_served(tmp_path: Path) -> None:
    """As many as CloudFormation takes are no error."""
    name = "n" * 255
    prepare(
        tmp_path,
        Description="d" * 1024,
        Mappings={**many(199, {"a": {"b": "c"}}), name: many(200, {name: "c"})},
        Parameters={**many(199, {"Type": "String", "Default": "v" * 4096}), name: {"Type": "String", "Default": ""}},
        Outputs={**many(199, {"Value": "v"}), name: {"Value": "v"}},
        Resources={**many(499, QUEUE), name: QUEUE},
    )


def test_what_loops_write_counts_as_well(tmp_path: Path) -> None:
    """The quota is of the template that CloudFormation makes of it."""
    loop = {"Fn::ForEach::Many": ["Each", [f"m{number}" for number in range(201)], {"O${Each}": {"Value": "v"}}]}
    with pytest.raises(TemplateError, match="Outputs: has 201 entries"):
        prepare(tmp_path, Transform="AWS::LanguageExtensions", Outputs=loop)


def test_stacks_that_multiply_have_an_end(tmp_path: Path) -> None:
    """Templates that each name the next a hundred times stand for a million stacks: an account has 2,000."""
    leaf = {"Resources": {"Q": QUEUE}}
    (tmp_path / "2.json").write_text(json.dumps(leaf))
    for depth in (1, 0):
        inner = many(100, {"Type": STACK, "Properties": {"TemplateURL": f"{depth + 1}.json"}})
        (tmp_path / f"{depth}.json").write_text(json.dumps({"Resources": inner}))
    with pytest.raises(TemplateError, match="is one more than the 2000 stacks that an account may have"):
        prepare(tmp_path, Resources=many(100, {"Type": STACK, "Properties": {"TemplateURL": "0.json"}}))
