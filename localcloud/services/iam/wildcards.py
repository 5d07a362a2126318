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
_PIECE: Final = re.compile(r"\*+|.", re.DOTALL)
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
        name, default = _read_default(name)
        values = context.get(name.lower(), ())
        if len(values) != 1 and default is None:
            missing = True
            return ""
        text = values[0] if len(values) == 1 else default or ""
        return text.replace("*", _HIDDEN["*"]).replace("?", _HIDDEN["?"])

    filled = _VARIABLE.sub(fill, pattern)
    return None if missing else filled


def _read_default(text: str) -> tuple[str, str | None]:
    """Name and default of a variable `name, 'default'`; None where it has none."""
    name, comma, quoted = (part.strip() for part in text.partition(","))
    if not (name and comma and len(quoted) > 1 and quoted[0] == quoted[-1] == "'" and "'" not in quoted[1:-1]):
        return text, None
    return name, quoted[1:-1]


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
    """`pattern` as an expression that looks for each part once: no number of stars makes it slow.

    Parts between stars that run across everything are found in order, the first place of each being the best; inside a
    part, chunks between stars that stay in their segment likewise. Only the last part must end where the text ends.
    """
    parts = _parts(pattern, segments=segments)
    if len(parts) == 1:
        return re.compile(_part(parts[0], is_last=True), re.DOTALL)
    found = _part(parts[0]) + "".join(f"(?>.*?{_part(part)})" for part in parts[1:-1])
    return re.compile(found + ".*" + _part(parts[-1], is_last=True), re.DOTALL)


def _parts(pattern: str, *, segments: bool) -> list[list[str]]:
    """Expressions without repetition: chunks that stars inside a segment part, in parts that other stars part."""
    parts = [[""]]
    for found in _PIECE.finditer(pattern):
        text = found[0]
        if text == "*" and segments and pattern[found.end() : found.end() + 1] not in ("", ":"):
            parts[-1].append("")
        elif text[0] == "*":
            parts.append([""])
        elif text == "?":
            parts[-1][-1] += "[^:]" if segments else "."
        else:
            parts[-1][-1] += re.escape(_SHOWN.get(text, text))
    return parts


def _part(chunks: list[str], *, is_last: bool = False) -> str:
    head, *rest = chunks
    tail = [rest.pop()] if is_last and rest else []
    return head + "".join(f"(?>[^:]*?{chunk})" for chunk in rest) + "".join(f"[^:]*{chunk}" for chunk in tail)
