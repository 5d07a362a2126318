"""Dynamic references: answered when a resource is made, refused where CloudFormation takes none."""

from __future__ import annotations

from typing import Any

import pytest

from localcloud.clock import run_virtual
from localcloud.template.errors import TemplateError
from localcloud.template.references import answer_references, check_references

KNOWN = {("ssm", "/a/b:3"): "three", ("secretsmanager", "s:SecretString:pw"): "hidden"}


async def _read(service: str, key: str) -> str:
    try:
        return KNOWN[service, key]
    except KeyError:
        raise TemplateError(f"there is no {key}", where="elsewhere") from None


def _answer(value: Any, *, kind: str = "AWS::Lambda::Function", read: Any = _read) -> Any:
    return run_virtual(lambda: answer_references(value, read, path="Resources.R.Properties", resource_type=kind))


def test_references_inside_any_text_are_answered() -> None:
    """Several in one text, in maps and lists; other values stay what they are."""
    value = {
        "a": ["x{{resolve:ssm:/a/b:3}}y{{resolve:ssm:/a/b:3}}", 1],
        "b": {"c": "{{resolve:secretsmanager:s:SecretString:pw}}"},
    }
    assert _answer(value) == {"a": ["xthreeythree", 1], "b": {"c": "hidden"}}


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("{{resolve:ssm:/no}}", "A::B::C", "{{resolve:ssm:/no}} has no answer: there is no /no"),
        ("{{resolve:ssm-secure:/a:1}}", "A::B::C", "SSM Secure reference is not supported in: [A::B::C/Properties/a]"),
        ("{{resolve:secretsmanager:s}}", "Custom::X", "secretsmanager references are not supported in custom"),
        ("{{resolve:ssm-secure:s}}", "AWS::CloudFormation::CustomResource", "not supported in custom resources"),
        ("{{resolve:secretsmanager:s}}", "", "a secretsmanager reference stands in resource properties only"),
        ("{{resolve:vault:s}}", "A::B::C", "'vault' is no service of dynamic references"),
        ("{{resolve:ssm:a b}}", "A::B::C", "'a b' is no parameter's name with its version"),
        ("{{resolve:secretsmanager:s:SecretBinary}}", "A::B::C", "SecretString is the only part"),
        ("{{resolve:secretsmanager:s:::A:B}}", "A::B::C", "a version stage or a version id, not both"),
        ("{{resolve:secretsmanager:s:SecretString:k:A::x}}", "A::B::C", "is not secret-id:SecretString"),
    ],
)  # fmt: skip
def test_what_cloudformation_would_refuse_is_refused_by_path(text: str, kind: str, message: str) -> None:
    """Secure values stand where CloudFormation takes them, and every part of a reference is checked."""
    with pytest.raises(TemplateError) as caught:
        _answer({"a": text}, kind=kind)
    assert (caught.value.where, message in str(caught.value)) == ("Resources.R.Properties.a", True)


def test_an_arn_is_one_id() -> None:
    """The seven parts of a secret's ARN come before the part that is read."""
    asked: list[tuple[str, str]] = []

    async def note(service: str, key: str) -> str:
        asked.append((service, key))
        return "x"

    key = "arn:aws:secretsmanager:us-east-1:123456789012:secret:s-AbCdEf:SecretString:pw:AWSCURRENT"
    assert _answer(f"{{{{resolve:secretsmanager:{key}}}}}", read=note) == "x"
    assert asked == [("secretsmanager", key)]


def test_nobody_to_ask_is_said() -> None:
    """A deployer without parameters and secrets refuses a reference by name."""
    with pytest.raises(TemplateError, match=r"dynamic reference \{\{resolve:ssm:/a\}\} is not served here"):
        _answer("{{resolve:ssm:/a}}", read=None)


def test_a_template_has_sixty_references_at_most() -> None:
    """Counted wherever they stand."""
    check_references({"Resources": {"R": {"x": ["{{resolve:ssm:/a}}" * 59, "{{resolve:ssm:/b}}"]}}})
    with pytest.raises(TemplateError, match="has 61 dynamic references, CloudFormation takes 60"):
        check_references({"Resources": {"R": {"x": ["{{resolve:ssm:/a}}" * 60, "{{resolve:ssm:/b}}"]}}})
