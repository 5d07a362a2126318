"""Filter patterns of CloudWatch Logs: terms, phrases and expressions of text, comparisons of JSON. Pure.

A term matches a whole word: letters, digits and underscores with none of these beside them. Space-delimited patterns
(`[ip, user, ...]`) are refused.
Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Final, TypeAlias

from localcloud.matching import PatternTooSlow, limit_matching
from localcloud.services.logs.errors import invalid
from localcloud.services.logs.json_patterns import parse_json_pattern
from localcloud.services.logs.regexes import compile_regex

__all__ = ["Pattern", "bounded", "parse_pattern"]

MAX_PATTERN_CHARS: Final = 1_024  # API_FilterLogEvents
Pattern: TypeAlias = Callable[[str], bool]
"""Takes a message: whether it matches."""

_LOG: Final = logging.getLogger(__name__)
_TERM: Final = re.compile(r'\s*([?-]?)(?:"((?:[^"\\]|\\.)*)"|%([^%]*)%|([\w$@#./:;,=&*+<>!|~\']+(?:-[\w]+)*))(?=\s|$)')


def parse_pattern(text: str) -> Pattern:
    """The test that a pattern is. Raises LogsError: InvalidParameterException."""
    bare = text.strip()
    if len(text) > MAX_PATTERN_CHARS:
        raise invalid(f"The filter pattern is longer than {MAX_PATTERN_CHARS} characters.")
    if not bare:
        return lambda _message: True
    if bare.startswith("{"):
        return parse_json_pattern(bare)
    if bare.startswith("["):
        raise invalid("The local cloud does not serve space-delimited filter patterns.")
    return _parse_terms(bare)


def bounded(pattern: Pattern) -> Pattern:
    """`pattern` for messages as they are written: one that takes too long on a message does not match it."""

    def matches(message: str) -> bool:
        try:
            with limit_matching():
                return pattern(message)
        except PatternTooSlow as error:
            _LOG.error("logs.pattern_too_slow chars=%d reason=%s", len(message), error)
            return False

    return matches


def _parse_terms(text: str) -> Pattern:
    wanted: list[Pattern] = []
    optional: list[Pattern] = []
    unwanted: list[Pattern] = []
    place = 0
    while place < len(text):
        found = _TERM.match(text, place)
        if found is None:
            raise invalid(f"Invalid character(s) in term '{text[place:].strip()[:100]}'")
        mark, phrase, expression, word = found.groups()
        test = _search(expression) if expression is not None else _contains(_unescape(phrase) if word is None else word)
        {"?": optional, "-": unwanted}.get(mark, wanted).append(test)
        place = found.end()

    def matches(message: str) -> bool:
        if any(test(message) for test in unwanted) or not all(test(message) for test in wanted):
            return False
        return bool(wanted) or not optional or any(test(message) for test in optional)

    return matches


def _contains(phrase: str) -> Pattern:
    """As a word or words, wherever the phrase itself begins or ends with one."""
    left = r"(?<!\w)" if phrase[:1].isalnum() or phrase[:1] == "_" else ""
    right = r"(?!\w)" if phrase[-1:].isalnum() or phrase[-1:] == "_" else ""
    compiled = re.compile(f"{left}{re.escape(phrase)}{right}")
    return lambda message: compiled.search(message) is not None


def _search(expression: str) -> Pattern:
    compiled = compile_regex(expression)
    return lambda message: compiled.search(message) is not None


def _unescape(phrase: str) -> str:
    return re.sub(r"\\(.)", r"\1", phrase)
