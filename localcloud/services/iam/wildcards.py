"""Wildcards and variables of IAM policies as regular expressions. Pure.

`*` is any run of characters and `?` one. In an ARN a `*` that does not end its segment stays within the segment; one
that ends a segment may run across colons. `${aws:username}` stands for a value of the request (policies of version
2012-10-17), `${*}`, `${?}` and `${$}` for the characters themselves.
Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html
Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

__all__ = ["fill_variables", "match_action", "match_arn_like", "match_resource", "match_text"]

Context = Mapping[str, tuple[str, ...]]
"""Condition keys of one request, in lower case, and their values."""

_VARIABLE: Final = re.compile(r"\$\{([^}]*)\}")
_DEFAULT: Final = re.compile(r"\s*([^,]+?)\s*,\s*'([^']*)'\s*")
_HIDDEN: Final = {"*": "\ue000", "?": "\ue001", "$": "$"}  # characters of the private use area: never in a policy
_SHOWN: Final = {"\ue000": "*", "\ue001": "?"}


def fill_variables(pattern: str, context: Context) -> str | None:
    """`pattern` with its variables filled in, wildcards in values made literal; None where a value is missing."""
    if "${" not in pattern:
        return pattern
    missing = False

    def fill(match: re.Match[str]) -> str:
        nonlocal missing
        name = match[1]
        if name in _HIDDEN:
            return _HIDDEN[name]
        default = _DEFAULT.fullmatch(name)
        values = context.get((default[1] if default else name).lower(), ())
        if len(values) != 1 and default is None:
            missing = True
            return ""
        text = values[0] if len(values) == 1 else default[2] if default else ""
        return text.replace("*", _HIDDEN["*"]).replace("?", _HIDDEN["?"])

    filled = _VARIABLE.sub(fill, pattern)
    return None if missing else filled


def match_action(pattern: str, action: str) -> bool:
    """Whether an Action element covers `action` (`sqs:SendMessage`); letters in any case."""
    return _regex(pattern.lower(), segments=False).fullmatch(action.lower()) is not None


def match_resource(pattern: str, resource: str) -> bool:
    """Whether a Resource element covers an ARN."""
    if pattern == "*":
        return True
    return _regex(pattern, segments=pattern.startswith("arn:")).fullmatch(resource) is not None


def match_text(pattern: str, text: str) -> bool:
    """StringLike: wildcards over the whole text."""
    return _regex(pattern, segments=False).fullmatch(text) is not None


def match_arn_like(pattern: str, arn: str) -> bool:
    """ArnLike: each of the six segments on its own."""
    patterns, parts = pattern.split(":", 5), arn.split(":", 5)
    return len(patterns) == len(parts) == 6 and all(map(match_text, patterns, parts))


@lru_cache(maxsize=4096)
def _regex(pattern: str, *, segments: bool) -> re.Pattern[str]:
    found: list[str] = []
    for index, character in enumerate(pattern):
        if character == "*":
            ends_segment = pattern[index + 1 : index + 2] in ("", ":", "*")
            found.append(".*" if ends_segment or not segments else "[^:]*")
        elif character == "?":
            found.append("[^:]" if segments else ".")
        else:
            found.append(re.escape(_SHOWN.get(character, character)))
    return re.compile("".join(found), re.DOTALL)
