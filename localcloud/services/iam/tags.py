"""Tags as policies see them: of the resource, of the request, of the principal. Pure.

Names of condition keys are compared in any case, while tags of most services are told apart by it: a key that two tags
differ in by case alone names neither of them.
Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html, "aws:ResourceTag"
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeAlias, cast

from localcloud.services.contract import Permission
from localcloud.services.iam.errors import InvalidTags

__all__ = [
    "MAX_TAGS",
    "RESOURCE_TAG",
    "ContextPairs",
    "TagsOf",
    "check_tags",
    "group_context",
    "principal_tags",
    "read_keys",
    "read_tag_list",
    "read_tag_map",
    "request_tags",
    "resource_tags",
    "tag_keys",
    "with_resource_tags",
]

ContextPairs: TypeAlias = tuple[tuple[str, str], ...]
"""Condition keys with their values, as a `Permission` has them: a key with several values stands several times."""

TagsOf: TypeAlias = Callable[[str, str], Mapping[str, str] | None]
"""Takes an action and an ARN: the tags of the resource, None where it has none, or none that count for the action."""

MAX_TAGS: Final = 50  # of a role, and of a session; https://docs.aws.amazon.com/IAM/latest/UserGuide/id_tags.html
RESOURCE_TAG: Final = "aws:ResourceTag/"
_REQUEST_TAG: Final = "aws:RequestTag/"
_PRINCIPAL_TAG: Final = "aws:PrincipalTag/"
_MAX_KEY_CHARS: Final = 128
_MAX_VALUE_CHARS: Final = 256
_TEXT: Final = re.compile(r"[\w\s.:/=+@-]*")  # \p{L}\p{Z}\p{N}_.:/=+-@


def resource_tags(tags: Mapping[str, str]) -> ContextPairs:
    """`aws:ResourceTag/*` of a resource with these tags."""
    return _pairs(RESOURCE_TAG, tags)


def with_resource_tags(permissions: Iterable[Permission], tags_of: TagsOf) -> tuple[Permission, ...]:
    """Permissions, each with the tags of what it is needed on."""
    found: list[Permission] = []
    for permission in permissions:
        tags = tags_of(permission.action, permission.resource)
        more = resource_tags(tags) if tags else ()
        found.append(replace(permission, context=permission.context + more) if more else permission)
    return tuple(found)


def request_tags(tags: Mapping[str, str]) -> ContextPairs:
    """`aws:RequestTag/*` and `aws:TagKeys` of a request that gives these tags; nothing where it gives none."""
    return _pairs(_REQUEST_TAG, tags) + tag_keys(tags)


def tag_keys(keys: Iterable[str]) -> ContextPairs:
    """`aws:TagKeys` of a request that names these keys, to give or to take them."""
    return tuple(("aws:TagKeys", key) for key in keys)


def read_tag_map(value: object) -> dict[str, str]:
    """The tags in a request's map, leniently: what is none of them is for the operation to refuse."""
    given = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    return {key: each for key, each in given.items() if isinstance(each, str)}


def read_tag_list(value: object) -> dict[str, str]:
    """The tags in a request's list of `{Key, Value}`, as leniently."""
    listed = cast("list[Any]", value) if isinstance(value, list) else []
    tags = [cast("dict[str, Any]", tag) for tag in listed if isinstance(tag, dict)]
    pairs = [(tag.get("Key"), tag.get("Value")) for tag in tags]
    return {key: each for key, each in pairs if isinstance(key, str) and isinstance(each, str)}


def read_keys(value: object) -> list[str]:
    """The tags' keys in a request's list, as leniently."""
    listed = cast("list[Any]", value) if isinstance(value, list) else []
    return [key for key in listed if isinstance(key, str)]


def principal_tags(role: Mapping[str, str], session: Mapping[str, str]) -> dict[str, str]:
    """`aws:PrincipalTag/*` of a session: its own tags stand above the role's, in whatever case the key is written.

    Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html
    """
    lower = {key.lower(): value for key, value in role.items()} | {key.lower(): value for key, value in session.items()}
    return {f"{_PRINCIPAL_TAG}{key}": value for key, value in lower.items()}


def group_context(pairs: ContextPairs) -> dict[str, tuple[str, ...]]:
    """The values of each key, in their order."""
    found: dict[str, list[str]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return {key: tuple(values) for key, values in found.items()}


def check_tags(tags: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The tags of a role or session as a map. Raises InvalidTags: their keys are told apart whatever their case."""
    given = list(tags)
    if len(given) > MAX_TAGS:
        raise InvalidTags(f"The number of tags has reached the maximum limit of {MAX_TAGS}.")
    if len({key.lower() for key, _ in given}) < len(given):
        raise InvalidTags("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
    for key, value in given:
        if not 1 <= len(key) <= _MAX_KEY_CHARS or len(value) > _MAX_VALUE_CHARS:
            limits = f"a tag's key has 1 to {_MAX_KEY_CHARS} characters, its value at most {_MAX_VALUE_CHARS}"
            raise InvalidTags(f"The tag {key[:_MAX_KEY_CHARS]!r} is not valid: {limits}.")
        if not _TEXT.fullmatch(key) or not _TEXT.fullmatch(value):
            raise InvalidTags(f"The tag {key!r} has characters other than letters, digits, white space and _.:/=+-@.")
        if key.lower().startswith("aws:"):
            raise InvalidTags(f"The tag {key!r} begins with aws:, which is reserved.")
    return dict(given)


def _pairs(prefix: str, tags: Mapping[str, str]) -> ContextPairs:
    if not tags:
        return ()
    written = Counter(key.lower() for key in tags)
    return tuple((f"{prefix}{key}", value) for key, value in tags.items() if written[key.lower()] == 1)
