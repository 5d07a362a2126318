"""The regular expressions that filter patterns may hold between percent signs. Pure.

Only what AWS lists is taken: no groups, so nothing repeats what repeats already. Several repetitions in a row still
take a power of a message's length: whoever matches bounds the time (`localcloud.matching`).
Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html (regex syntax)
"""

from __future__ import annotations

import re
from typing import Final

from localcloud.services.logs.errors import invalid

__all__ = ["compile_regex"]

MAX_REPEATS: Final = 8  # * and + of one expression; ours, against patterns that never end
_ALLOWED: Final = re.compile(r"(?:[A-Za-z0-9_#=@/;,:' \-^$?\[\]{}|*+.]|\\.)+")


def compile_regex(expression: str) -> re.Pattern[str]:
    """The expression. Raises LogsError: InvalidParameterException."""
    if not _ALLOWED.fullmatch(expression) or len(re.findall(r"[*+{]", expression)) > MAX_REPEATS:
        raise invalid(f"Invalid regular expression in the filter pattern: %{expression[:100]}%")
    try:
        return re.compile(expression, re.ASCII)
    except re.error as error:
        raise invalid(f"Invalid regular expression in the filter pattern: {error}") from error
