"""Templates and samconfig as text."""

from __future__ import annotations

from pathlib import Path

import pytest

from localcloud.template.errors import TemplateError
from localcloud.template.source import Settings, parse_template, read_settings, read_template, settings_file


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("!Ref A", {"Ref": "A"}),
        ("!Condition A", {"Condition": "A"}),
        ("!GetAtt A.B", {"Fn::GetAtt": ["A", "B"]}),
        ("!GetAtt A.B.C", {"Fn::GetAtt": ["A", "B.C"]}),
        ("!GetAtt [A, B]", {"Fn::GetAtt": ["A", "B"]}),
        ('!Sub "${A}-x"', {"Fn::Sub": "${A}-x"}),
        ("!Sub [a, {b: !Ref C}]", {"Fn::Sub": ["a", {"b": {"Ref": "C"}}]}),
        ("!Join ['-', [a, !Ref B]]", {"Fn::Join": ["-", ["a", {"Ref": "B"}]]}),
        ("!If [A, !Ref B, !Ref AWS::NoValue]", {"Fn::If": ["A", {"Ref": "B"}, {"Ref": "AWS::NoValue"}]}),
        ("!Select [1, !Split [',', 'a,b']]", {"Fn::Select": [1, {"Fn::Split": [",", "a,b"]}]}),
        ("!Transform {Name: AWS::Include}", {"Fn::Transform": {"Name": "AWS::Include"}}),
        ("!Not [!Equals [a, b]]", {"Fn::Not": [{"Fn::Equals": ["a", "b"]}]}),
        ("!Base64 x", {"Fn::Base64": "x"}),
        ("!GetAZs ''", {"Fn::GetAZs": ""}),
        ('{"Fn::Sub": "x"}', {"Fn::Sub": "x"}),
        ("2012-10-17", "2012-10-17"),
        ("on: true", {"on": True}),
        ("1: a", {"1": "a"}),
    ],
)
def test_short_forms_become_long_forms(text: str, expected: object) -> None:
    """Each short tag means its long form; dates stay text and keys are text, as in CloudFormation."""
    assert parse_template(text, name="t") == expected


@pytest.mark.parametrize(
    ("text", "place", "detail"),
    [
        ("a: 1\nb: 2\na: 3\n", "t.yaml:3:1", "the key 'a' stands twice"),
        ("a: !Foo x", "t.yaml:1:4", "!Foo is no CloudFormation function"),
        ("a: [1", "t.yaml:2:1", "did not find expected ',' or ']'"),
        ("? [1]\n: 2", "t.yaml:1:3", "a key must be text"),
        ("a: !Ref [b]", "t.yaml:1:4", "expected a scalar node, but found sequence"),
        ("a: !!python/object:os.system x", "t.yaml:1:4", "could not determine a constructor"),
    ],
)
def test_what_is_no_template_is_named_with_line_and_column(text: str, place: str, detail: str) -> None:
    """A syntax error names file, line and column."""
    with pytest.raises(TemplateError) as caught:
        parse_template(text, name="t.yaml")
    assert caught.value.where == place
    assert caught.value.detail.startswith(detail)


def test_merged_keys_may_be_written_again() -> None:
    """`<<` brings defaults: the map's own keys win, and that is no duplicate."""
    assert parse_template("a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}", name="t")["b"] == {"x": 3, "y": 2}


def test_a_template_needs_resources(tmp_path: Path) -> None:
    """A file without a Resources section, one that is missing and one that is no UTF-8 are refused with their name."""
    path = tmp_path / "template.yaml"
    with pytest.raises(TemplateError, match=r"template\.yaml: cannot be read: No such file"):
        read_template(path)
    path.write_text("Outputs: {}")
    with pytest.raises(TemplateError, match="a Resources section is needed"):
        read_template(path)
    path.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(TemplateError, match="is not UTF-8"):
        read_template(path)


def test_a_template_over_the_limit_is_refused(tmp_path: Path) -> None:
    """CloudFormation takes 1 MB."""
    path = tmp_path / "template.yaml"
    path.write_text("#" * (1024 * 1024 + 1))
    with pytest.raises(TemplateError, match="1048577 bytes"):
        read_template(path)


SAMCONFIG = """
version = 0.1
[default.global.parameters]
stack_name = "sluice"
[default.deploy.parameters]
region = "eu-west-1"
parameter_overrides = "A=1 B=\\"two words\\" C='x\\\\'y' ParameterKey=D,ParameterValue=z E="
[prod.deploy.parameters]
parameter_overrides = ["A=1", "B=two words", "C=a=b"]
template_file = "t.yaml"
[table.deploy.parameters.parameter_overrides]
A = 1
B = true
C = ["x", "y"]
[wrong.deploy.parameters]
parameter_overrides = "A= B"
"""


@pytest.fixture
def samconfig(tmp_path: Path) -> Path:
    """A samconfig.toml in each of SAM's forms."""
    path = tmp_path / "samconfig.toml"
    path.write_text(SAMCONFIG)
    return path


def test_parameter_overrides_are_read_from_each_form(samconfig: Path) -> None:
    """One text with quotes and the long form, a list, and a table: as `sam deploy` reads them."""
    assert read_settings(samconfig) == Settings(
        stack_name="sluice",
        region="eu-west-1",
        parameters={"A": "1", "B": "two words", "C": "x'y", "D": "z", "E": ""},
    )
    prod = read_settings(samconfig, environment="prod")
    assert (prod.template, prod.parameters) == ("t.yaml", {"A": "1", "B": "two words", "C": "a=b"})
    assert read_settings(samconfig, environment="table").parameters == {"A": "1", "B": "true", "C": "x,y"}


def test_samconfig_may_be_yaml(tmp_path: Path) -> None:
    """As `sam` takes it; the TOML one counts where both are there."""
    assert settings_file(tmp_path) == tmp_path / "samconfig.toml"
    path = tmp_path / "samconfig.yaml"
    path.write_text(
        "version: 0.1\n"
        "default:\n"
        "  global: {parameters: {stack_name: mine, region: eu-west-1}}\n"
        "  deploy: {parameters: {parameter_overrides: [A=1, 'B=\"two words\"'], template_file: built.yaml}}\n"
    )
    assert settings_file(tmp_path) == path
    expected = Settings("mine", "eu-west-1", "built.yaml", {"A": "1", "B": "two words"})
    assert read_settings(path) == expected
    (tmp_path / "samconfig.toml").write_text("version = 0.1")
    assert settings_file(tmp_path) == tmp_path / "samconfig.toml"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "must be a map of environments"),
        ("default: {deploy: {parameters: 3}}", "default.deploy: parameters must be a map"),
        ("default: {deploy: 3}", "default.deploy: parameters must be a map"),
        ("default: {deploy: {parameters: {parameter_overrides: 3}}}", "must be text, a list or a table"),
        ("a: [", "is no YAML"),
    ],
)
def test_a_samconfig_of_another_shape_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """In words, by file and environment."""
    path = tmp_path / "samconfig.yaml"
    path.write_text(text)
    with pytest.raises(TemplateError, match=message):
        read_settings(path)


def test_a_wrong_samconfig_is_refused(samconfig: Path) -> None:
    """An environment that is not there, overrides that are not Key=Value, and a file that is no TOML are named."""
    with pytest.raises(TemplateError, match=r"samconfig\.toml: has no environment 'nosuch'"):
        read_settings(samconfig, environment="nosuch")
    with pytest.raises(TemplateError, match=r"samconfig\.toml\.wrong: parameter_overrides: cannot read from 'B'"):
        read_settings(samconfig, environment="wrong")
    samconfig.write_text("a = ")
    with pytest.raises(TemplateError, match="is no TOML"):
        read_settings(samconfig)


def test_no_samconfig_says_nothing(tmp_path: Path) -> None:
    """A missing file, or one without the default environment, is an empty answer."""
    path = tmp_path / "samconfig.toml"
    assert read_settings(path) == Settings()
    path.write_text("version = 0.1")
    assert read_settings(path) == Settings()
