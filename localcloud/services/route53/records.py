"""Record sets: what one says, and what Route 53 says of values that are none. Pure.

Source: https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/ResourceRecordTypes.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from localcloud.services.route53.domains import MalformedName, read_name

__all__ = ["PRIMARY", "SECONDARY", "SERVED_TYPES", "Alias", "RecordKey", "RecordSet", "find_faults", "read_strings"]

PRIMARY: Final = "PRIMARY"
SECONDARY: Final = "SECONDARY"
SERVED_TYPES: Final = ("A", "AAAA", "CNAME", "TXT")
MAX_STRING_BYTES: Final = 255  # ResourceRecordTypes.html, TXT: one string
RecordKey = tuple[str, str, str]
_STRING: Final = re.compile(r'"((?:[^"\\]|\\[0-7]{3}|\\.)*)"\s*')
_ESCAPE: Final = re.compile(r"\\([0-7]{3}|.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Alias:
    """Another name whose answers are given. `name` as in `domains`; `evaluates`: its health counts as the record's."""

    zone_id: str
    name: str
    evaluates: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSet:
    """One record set. `values` as the API has them, `ttl` in seconds; an alias has neither. "" and None: not given."""

    name: str
    type: str
    set_id: str = ""
    failover: str = ""
    weight: int | None = None
    ttl: int | None = None
    values: tuple[str, ...] = ()
    alias: Alias | None = None
    check_id: str = ""

    @property
    def key(self) -> RecordKey:
        """What tells it from every other of its zone."""
        return self.name, self.type, self.set_id

    @property
    def routing(self) -> str:
        """`simple`, `failover` or `weighted`."""
        if self.failover:
            return "failover"
        return "simple" if self.weight is None else "weighted"


def find_faults(record: RecordSet) -> list[str]:
    """What Route 53 says of each value that is none of the record's type; empty where all are."""
    found: list[str] = []
    for value in record.values:
        fault = _CHECKS[record.type](value)
        if fault:
            found.append(f"Invalid Resource Record: 'FATAL problem: {fault} encountered with '{value}''")
    if record.type == "CNAME" and len(record.values) > 1:
        found.append(
            f"RRSet with DNS name {record.name}, type CNAME, SetIdentifier {record.set_id or 'null'} "
            "has more than one resource record"
        )
    return found


def read_strings(value: str) -> tuple[bytes, ...]:
    """The strings of a TXT value, without quotes and escapes. Raises MalformedName for what is no such value."""
    strings: list[bytes] = []
    at = 0
    text = value.strip()
    while at < len(text):
        piece = _STRING.match(text, at)
        if piece is None:
            raise MalformedName("InvalidCharacterString (Value should be enclosed in quotation marks)")
        strings.append(_unescape(piece[1]))
        at = piece.end()
    if not strings:
        raise MalformedName("InvalidCharacterString (Value should be enclosed in quotation marks)")
    if any(len(string) > MAX_STRING_BYTES for string in strings):
        raise MalformedName("CharacterStringTooLong (Value is too long)")
    return tuple(strings)


def _unescape(text: str) -> bytes:
    def plain(found: re.Match[str]) -> str:
        return chr(int(found[1], 8)) if len(found[1]) == 3 else found[1]

    try:
        return _ESCAPE.sub(plain, text).encode("latin-1")
    except UnicodeEncodeError:
        message = "InvalidCharacterString (Value contains unsupported characters)"
        raise MalformedName(message) from None


def _check_a(value: str) -> str:
    try:
        IPv4Address(value)
    except ValueError:
        return "ARRDATAIllegalIPv4Address (Value is not a valid IPv4 address)"
    return ""


def _check_aaaa(value: str) -> str:
    try:
        IPv6Address(value)
    except ValueError:
        return "AAAARRDATAIllegalIPv6Address (Value is not a valid IPv6 address)"
    return ""


def _check_cname(value: str) -> str:
    try:
        read_name(value)
    except MalformedName as error:
        return str(error)
    return ""


def _check_txt(value: str) -> str:
    try:
        read_strings(value)
    except MalformedName as error:
        return str(error)
    return ""


_CHECKS: Final[Mapping[str, Callable[[str], str]]] = {
    "A": _check_a,
    "AAAA": _check_aaaa,
    "CNAME": _check_cname,
    "TXT": _check_txt,
}
