"""What a service answered: the reply, and how an error answer is read.

Knows the error shapes of the JSON, REST-JSON and REST-XML protocols; knows nothing of connections or retries.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

__all__ = ["Reply"]


@dataclass(frozen=True, slots=True)
class Reply:
    """A successful answer (status 200 to 299): `headers` by lower-case name, repeated ones joined with ", "."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body decoded; an empty body is an empty object. Raises ValueError when it is no JSON object."""
        if not self.body:
            return {}
        decoded = json.loads(self.body)
        if not isinstance(decoded, dict):
            raise ValueError("the reply's body is not a JSON object")  # noqa: TRY004 - it is the data that is wrong
        return cast("dict[str, Any]", decoded)
