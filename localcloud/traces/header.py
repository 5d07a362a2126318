"""The X-Ray trace header as far as spans need it: its root, its parent, and another parent in its place. Pure.

A root comes from clients as well, so what cannot be an id is none.
Source: https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["read_parent", "read_root", "with_parent", "without_lineage"]

_ROOT: Final = re.compile(r"(?:^|;)\s*Root=([0-9A-Za-z-]{3,64})(?=;|$)")
_PARENT: Final = re.compile(r"(?:^|;)\s*Parent=([0-9a-f]{16})(?=;|$)")


def read_root(header: str) -> str:
    """The trace's id, "" where there is none."""
    found = _ROOT.search(header)
    return found[1] if found else ""


def read_parent(header: str) -> str:
    """The id of the span that the header was made in, "" where there is none."""
    found = _PARENT.search(header)
    return found[1] if found else ""


def with_parent(header: str, span_id: str) -> str:
    """The header for what happens inside the span `span_id`."""
    parts = [part for part in map(str.strip, header.split(";")) if part and not part.startswith("Parent=")]
    return ";".join([*parts[:1], f"Parent={span_id}", *parts[1:]])


def without_lineage(header: str) -> str:
    """The header as a service hands it on that has no part in Lambda's detection of loops."""
    if "Lineage=" not in header:
        return header
    return ";".join(part for part in map(str.strip, header.split(";")) if part and not part.startswith("Lineage="))
