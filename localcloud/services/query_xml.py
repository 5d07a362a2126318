"""Answers of the Query protocol as XML: structures, lists of `member`, maps of `entry`. Pure.

Source: https://smithy.io/2.0/aws/protocols/aws-query-protocol.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, cast
from xml.sax.saxutils import escape

__all__ = ["Entries", "write_element"]

_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Entries(dict[str, str]):
    """A map, not a structure: it is written as entries."""


def write_element(name: str, value: object) -> str:
    """An element and all that is inside it; characters that XML has not are replaced."""
    return f"<{name}>{_inner(value)}</{name}>"


def _inner(value: object) -> str:
    if isinstance(value, Entries):
        return "".join(write_element("entry", {"key": key, "value": text}) for key, text in value.items())
    if isinstance(value, Mapping):
        return "".join(write_element(name, inner) for name, inner in cast("Mapping[str, object]", value).items())
    if isinstance(value, list):
        return "".join(write_element("member", each) for each in cast("list[object]", value))
    if isinstance(value, bool):
        return "true" if value else "false"
    return escape(_NOT_XML.sub("\ufffd", str(value)), {"\r": "&#xD;", '"': "&quot;"})
