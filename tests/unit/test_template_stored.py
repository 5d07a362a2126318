"""Parameters whose value the Parameter Store keeps: read before a stack is prepared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from localcloud.clock import run_virtual
from localcloud.template.errors import TemplateError
from localcloud.template.parameters import ParameterValue
from localcloud.template.source import Source
from localcloud.template.stack import Settled, prepare_stack, stack_context
from localcloud.template.stored import read_stored

KEPT = {"/net/id": "vpc-1", "zones": "a,b"}


def _values(declared: dict[str, Any], **given: str) -> tuple[dict[str, ParameterValue], list[str]]:
    asked: list[str] = []

    async def read(name: str) -> str:
        asked.append(name)
        if name not in KEPT:
            raise TemplateError(f"there is no SSM parameter {name}", where=name)
        return KEPT[name]

    source = Source(Path("t.yaml"), {"Parameters": declared, "Resources": {"R": {"Type": "T"}}})
    stored = run_virtual(lambda: read_stored(source, given, read))
    stack = prepare_stack(source, stack_context(Path()), Settled(parameters=given, stored=stored))
    return stack.parameters, asked


def test_values_are_read_by_the_names_given_or_by_default() -> None:
    """Each name once; a list type gives a list, plain parameters are not asked for."""
    declared = {
        "Net": {"Type": "AWS::SSM::Parameter::Value<AWS::EC2::VPC::Id>", "Default": "/net/id"},
        "Same": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/net/id"},
        "Zones": {"Type": "AWS::SSM::Parameter::Value<List<String>>"},
        "Plain": {"Type": "String", "Default": "/net/id"},
    }
    values, asked = _values(declared, Zones="zones")
    assert values == {"Net": "vpc-1", "Same": "vpc-1", "Zones": ["a", "b"], "Plain": "/net/id"}
    assert asked == ["/net/id", "zones"]


def test_a_value_that_is_given_and_names_nothing_is_the_value() -> None:
    """There is no account that could hold it."""
    declared = {"Net": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/net/other"}}
    assert _values(declared, Net="vpc-9")[0] == {"Net": "vpc-9"}


@pytest.mark.parametrize("given", [{}, {"Net": "/net/none"}])
def test_a_name_that_leads_nowhere_is_said_with_what_to_do(given: dict[str, str]) -> None:
    """A default, and whatever looks like a path."""
    declared = {"Net": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/net/other"}}
    with pytest.raises(TemplateError) as caught:
        _values(declared, **given)
    name = given.get("Net", "/net/other")
    assert str(caught.value) == (
        f"Parameters.Net: there is no SSM parameter {name}; give the value itself: --parameter-overrides Net=VALUE"
    )
