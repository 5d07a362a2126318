"""REST-XML as Route 53 speaks it: bodies read into maps and lists, answers written. Pure.

A body has no document type and no entities of its own. An element whose members repeat is named in `_LISTS`.
Source: https://smithy.io/2.0/aws/protocols/aws-restxml-protocol.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from localcloud.services.route53.errors import Route53Error, invalid_input

__all__ = ["Members", "read_body", "write_document", "write_error"]

XMLNS: Final = "https://route53.amazonaws.com/doc/2013-04-01/"
MAX_BODY_BYTES: Final = 1024 * 1024  # 1,000 changes with 32,000 characters of values
MAX_ELEMENTS: Final = 50_000
MAX_DEPTH: Final = 12
_LISTS: Final = {
    "Changes": "Change",
    "ChildHealthChecks": "ChildHealthCheck",
    "Regions": "Region",
    "ResetElements": "ResettableElementName",
    "ResourceRecords": "ResourceRecord",
}
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Members:
    """A list of an answer, and what each of its elements is called."""

    name: str
    items: Sequence[object]


def read_body(body: bytes, root: str) -> dict[str, Any]:
    """The members of a body whose outermost element is `root`: texts, maps and lists. Raises Route53Error."""
    if len(body) > MAX_BODY_BYTES:
        raise invalid_input(f"Invalid XML ; the body has {MAX_BODY_BYTES} bytes at most")
    if b"\0" in body or b"<!" in body.replace(b"<!--", b"").replace(b"<![CDATA[", b""):
        raise _malformed("it has a document type, or is no UTF-8")
    try:
        parsed = ET.fromstring(body)  # noqa: S314 - neither document type nor entities get here
    except (ET.ParseError, ValueError) as error:
        raise _malformed(str(error)) from error
    if _local(parsed) != root:
        raise _malformed(f"the outermost element is not {root}")
    if sum(1 for _ in parsed.iter()) > MAX_ELEMENTS:
        raise _malformed("it has too many elements")
    return _read_map(parsed, 0)


def write_document(root: str, members: Mapping[str, object]) -> bytes:
    """An answer's body."""
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="{XMLNS}">{_write(members)}</{root}>'
    return text.encode()


def write_error(error: Route53Error, request_id: str) -> bytes:
    """An error's body."""
    told = {
        "Error": {
            "Type": "Sender" if error.status < 500 else "Receiver",
            "Code": error.code,
            "Message": error.message,
        },
        "RequestId": request_id,
    }
    return write_document("ErrorResponse", told)


def _malformed(why: str) -> Route53Error:
    return invalid_input(f"Invalid XML ; {why}")


def _local(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _read_map(element: ET.Element, depth: int) -> dict[str, Any]:
    if depth > MAX_DEPTH:
        raise _malformed("it is nested too deep")
    found: dict[str, Any] = {}
    for child in element:
        name = _local(child)
        if name in found:
            raise _malformed(f"{name} stands twice")
        found[name] = _read(child, name, depth + 1)
    return found


def _read(element: ET.Element, name: str, depth: int) -> Any:
    if name in _LISTS and (len(element) or not (element.text or "").strip()):
        if any(_local(child) != _LISTS[name] for child in element):
            raise _malformed(f"{name} holds {_LISTS[name]} alone")
        return [_read(child, "", depth) for child in element]
    return _read_map(element, depth) if len(element) else element.text or ""


def _write(value: object) -> str:
    if isinstance(value, Mapping):
        members = cast("Mapping[str, object]", value)
        return "".join(f"<{name}>{_write(member)}</{name}>" for name, member in members.items())
    if isinstance(value, Members):
        return "".join(f"<{value.name}>{_write(item)}</{value.name}>" for item in value.items)
    if isinstance(value, bool):
        return "true" if value else "false"
    return escape(_NOT_XML.sub("\ufffd", str(value)))
