"""The Parameters section."""

from __future__ import annotations

import pytest

from localcloud.template.errors import TemplateError
from localcloud.template.parameters import read_parameters, resolve_parameters


def _resolve(entry: dict, **given: str) -> object:
    return resolve_parameters(read_parameters({"Parameters": {"P": entry}}), given)["P"]


@pytest.mark.parametrize(
    ("entry", "given", "expected"),
    [
        ({"Type": "String", "Default": "x"}, {}, "x"),
        ({"Type": "String", "Default": ""}, {}, ""),
        ({"Type": "String", "Default": "x"}, {"P": "y"}, "y"),
        ({"Type": "Number", "Default": 512}, {}, "512"),
        ({"Type": "Number", "Default": 1.5}, {}, "1.5"),
        ({"Type": "String", "Default": True}, {}, "true"),
        ({"Type": "CommaDelimitedList", "Default": "a, b ,c"}, {}, ["a", "b", "c"]),
        ({"Type": "List<Number>"}, {"P": "1,2"}, ["1", "2"]),
        ({"Type": "AWS::EC2::VPC::Id"}, {"P": "vpc-1"}, "vpc-1"),
        ({"Type": "List<AWS::EC2::Subnet::Id>"}, {"P": "s-1,s-2"}, ["s-1", "s-2"]),
        ({"Type": "Number", "MinValue": "1", "MaxValue": 3}, {"P": "3"}, "3"),
        ({"Type": "Number", "AllowedValues": [1, 3]}, {"P": "3"}, "3"),
        ({"Type": "String", "AllowedPattern": "[a-z]+"}, {"P": "abc"}, "abc"),
    ],
)
def test_a_value_comes_as_ref_gives_it(entry: dict, given: dict, expected: object) -> None:
    """Every value is text, lists are lists of texts: what `Ref` gives in CloudFormation."""
    assert _resolve(entry, **given) == expected


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ({"Type": "Number"}, "x", "Parameters.P: 'x' must be a number"),
        ({"Type": "Number", "MinValue": 2}, "1", "Parameters.P: '1' must be at least 2"),
        ({"Type": "Number", "MaxValue": 2}, "3", "Parameters.P: '3' must be at most 2"),
        ({"Type": "List<Number>"}, "1,x", "Parameters.P: 'x' must be a number"),
        ({"Type": "String", "MinLength": 2}, "a", "Parameters.P: 'a' must have at least 2 characters"),
        ({"Type": "String", "MaxLength": "2"}, "abc", "Parameters.P: 'abc' must have at most 2 characters"),
        ({"Type": "String", "AllowedValues": ["a", "b"]}, "c", "Parameters.P: 'c' must be one of a, b"),
        ({"Type": "String", "AllowedPattern": "[a-z]+"}, "abC", "Parameters.P: 'abC' must match [a-z]+"),
        (
            {"Type": "String", "AllowedPattern": "x", "ConstraintDescription": "only x"},
            "y",
            "Parameters.P: 'y' must match x (only x)",
        ),
        ({"Type": "String", "MinLength": 9, "NoEcho": True}, "hush", "Parameters.P: the value must have at least 9 "),
        ({"Type": "String"}, "x" * 4097, "Parameters.P: the value has more than 4096 bytes"),
        (
            {"Type": "AWS::SSM::Parameter::Value<String>"},
            "/a/b",
            "Parameters.P: AWS::SSM::Parameter::Value<String> needs the SSM parameter '/a/b', which is not here",
        ),
    ],
)
def test_a_value_against_a_constraint_is_refused(entry: dict, value: str, message: str) -> None:
    """The error names the parameter, the value (unless NoEcho) and the constraint."""
    with pytest.raises(TemplateError) as caught:
        _resolve(entry, P=value)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("x", "Parameters.P: must be a map with a Type"),
        ({}, "Parameters.P.Type: is required"),
        ({"Type": "Strnig"}, "Parameters.P.Type: Strnig is no parameter type of CloudFormation"),
        ({"Type": "List<X>"}, "Parameters.P.Type: List<X> is no parameter type of CloudFormation"),
        ({"Type": "String", "Defualt": 1}, "Parameters.P.Defualt: is no attribute of a parameter"),
        ({"Type": "String", "Default": ["a"]}, "Parameters.P.Default: must be text; a list is written with commas"),
        ({"Type": "String", "MinLength": "x"}, "Parameters.P.MinLength: must be a number"),
        ({"Type": "Number", "MinValue": "x"}, "Parameters.P.MinValue: must be a number"),
        ({"Type": "String", "NoEcho": "maybe"}, "Parameters.P.NoEcho: must be true or false"),
        ({"Type": "String", "AllowedValues": "a"}, "Parameters.P.AllowedValues: must be a list"),
    ],
)
def test_a_wrong_declaration_is_refused(entry: object, message: str) -> None:
    """The error names parameter and attribute."""
    with pytest.raises(TemplateError) as caught:
        read_parameters({"Parameters": {"P": entry}})
    assert str(caught.value).startswith(message)


def test_unknown_and_missing_values_are_named_all_at_once() -> None:
    """In the words of CloudFormation."""
    declared = read_parameters({"Parameters": {name: {"Type": "String"} for name in "ABC"}})
    with pytest.raises(TemplateError, match=r"Parameters: \[X, Y\] do not exist in the template"):
        resolve_parameters(declared, {"A": "", "Y": "", "X": ""})
    with pytest.raises(TemplateError, match=r"Parameters: \[B, C\] must have values"):
        resolve_parameters(declared, {"A": ""})


def test_a_stored_parameter_is_read_where_something_can() -> None:
    """An SSM type takes the name of a stored value; constraints hold for what is stored."""
    declared = read_parameters({"Parameters": {"P": {"Type": "AWS::SSM::Parameter::Value<List<String>>"}}})
    assert resolve_parameters(declared, {"P": "/x"}, stored={"/x": "a,b"}.__getitem__) == {"P": ["a", "b"]}


def test_at_most_200_parameters() -> None:
    """CloudFormation's quota."""
    with pytest.raises(TemplateError, match="has 201 entries"):
        read_parameters({"Parameters": {f"P{n}": {"Type": "String"} for n in range(201)}})
