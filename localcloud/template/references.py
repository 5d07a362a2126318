"""Dynamic references: `{{resolve:service:key}}` in properties, answered when the resource is made.

Owns where CloudFormation takes them and how they are written. They stay text for every function: what `Fn::Split` or
`Fn::Select` do to one is done before it is answered. Who reads parameters and secrets is a port.
Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/dynamic-references.html
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias, cast

from localcloud.template.errors import TemplateError, join_path
from localcloud.template.handler import CUSTOM_RESOURCE

__all__ = ["References", "answer_references", "check_references"]

References: TypeAlias = Callable[[str, str], Awaitable[str]]
"""Reads a dynamic reference by service (`ssm`, `secretsmanager`) and key. Raises TemplateError that says why not."""

MAX_REFERENCES: Final = 60  # the page above: "up to 60 dynamic references in a stack template"
_REFERENCE: Final = re.compile(r"\{\{resolve:([^:{}]*):([^{}]*)\}\}")
_SERVICES: Final = ("ssm", "ssm-secure", "secretsmanager")
_SSM_KEY: Final = re.compile(r"(?:arn:aws[a-z-]*:ssm:[a-z0-9-]*:\d*:parameter)?[a-zA-Z0-9_.\-/]+(?::[1-9]\d{0,17})?")


def check_references(body: Any) -> None:
    """Raises TemplateError for a template with more dynamic references than CloudFormation takes."""
    found = _count(body)
    if found > MAX_REFERENCES:
        raise TemplateError(f"has {found} dynamic references, CloudFormation takes {MAX_REFERENCES}", where="Resources")


def _count(value: Any) -> int:
    if isinstance(value, str):
        return value.count("{{resolve:")
    if isinstance(value, dict):
        return sum(map(_count, cast("dict[str, Any]", value).values()))
    return sum(map(_count, cast("list[Any]", value))) if isinstance(value, list) else 0


async def answer_references(value: Any, references: References | None, *, path: str, resource_type: str) -> Any:
    """`value` with every dynamic reference replaced. Raises TemplateError with the path of one that has no answer."""
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return [
            await answer_references(item, references, path=join_path(path, index), resource_type=resource_type)
            for index, item in enumerate(items)
        ]
    if isinstance(value, dict):
        return {
            key: await answer_references(item, references, path=join_path(path, key), resource_type=resource_type)
            for key, item in cast("dict[str, Any]", value).items()
        }
    if isinstance(value, str) and "{{resolve:" in value:
        return await _answer_text(value, references, path=path, resource_type=resource_type)
    return value


async def _answer_text(text: str, references: References | None, *, path: str, resource_type: str) -> str:
    parts: list[str] = []
    end = 0
    for match in _REFERENCE.finditer(text):
        answer = await _read(match, references, path=path, resource_type=resource_type)
        parts += [text[end : match.start()], answer]
        end = match.end()
    return "".join([*parts, text[end:]])


async def _read(match: re.Match[str], references: References | None, *, path: str, resource_type: str) -> str:
    service, key = match[1], match[2]
    _check(service, key, path=path, resource_type=resource_type)
    if references is None:
        raise TemplateError(f"the dynamic reference {match[0]} is not served here", where=path)
    try:
        return await references(service, key)
    except TemplateError as error:
        raise TemplateError(f"the dynamic reference {match[0]} has no answer: {error.detail}", where=path) from error


def _check(service: str, key: str, *, path: str, resource_type: str) -> None:
    if service not in _SERVICES:
        raise TemplateError(f"{service!r} is no service of dynamic references ({', '.join(_SERVICES)})", where=path)
    custom = resource_type == CUSTOM_RESOURCE or resource_type.startswith("Custom::")
    if service != "ssm" and custom:
        raise TemplateError(f"{service} references are not supported in custom resources", where=path)
    if service == "ssm-secure":  # the types that take one (RDS, Redshift, ElastiCache, IAM users...) are none of ours
        where = f"{resource_type}/{path.partition('.')[2].partition('.')[2].replace('.', '/')}"
        raise TemplateError(f"SSM Secure reference is not supported in: [{where}]", where=path)
    if service == "secretsmanager" and not resource_type:
        raise TemplateError("a secretsmanager reference stands in resource properties only", where=path)
    if service == "ssm" and not _SSM_KEY.fullmatch(key):
        raise TemplateError(f"{key!r} is no parameter's name with its version", where=path)
    if service == "secretsmanager":
        _check_secret(key, path)


def _check_secret(key: str, path: str) -> None:
    """`secret-id:secret-string:json-key:version-stage:version-id`, of which the id may be an ARN."""
    parts = key.split(":")
    rest = parts[7:] if key.startswith("arn:") else parts[1:]
    if not parts[0] or (key.startswith("arn:") and len(parts) < 7) or len(rest) > 4:
        raise TemplateError(f"{key!r} is not secret-id:SecretString:json-key:version-stage:version-id", where=path)
    if rest and rest[0] not in ("", "SecretString"):
        raise TemplateError(f"{rest[0]!r}: SecretString is the only part of a secret that can be read", where=path)
    if len(rest) == 4 and rest[2] and rest[3]:
        raise TemplateError("takes a version stage or a version id, not both", where=path)
