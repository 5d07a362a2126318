"""What a bucket tells, of which objects and to whom: its NotificationConfiguration. Pure.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketNotificationConfiguration.html and
https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

__all__ = [
    "DESTINATIONS",
    "SERVED_EVENTS",
    "BadConfiguration",
    "Configuration",
    "Rule",
    "add_filter",
    "check_rules",
    "read_xml",
    "write_xml",
]

MAX_RULES: Final = 100  # notification-how-to: configurations of a bucket
MAX_VALUE_BYTES: Final = 1024  # of a prefix or suffix, which are parts of a key
MAX_ID_CHARS: Final = 255  # in S3's own words: "The ID must be no longer than 255 characters"
_XMLNS: Final = "http://s3.amazonaws.com/doc/2006-03-01/"
SERVED_EVENTS: Final = (
    "s3:ObjectAcl:Put",
    "s3:ObjectCreated:*",
    "s3:ObjectCreated:CompleteMultipartUpload",
    "s3:ObjectCreated:Copy",
    "s3:ObjectCreated:Post",
    "s3:ObjectCreated:Put",
    "s3:ObjectRemoved:*",
    "s3:ObjectRemoved:Delete",
    "s3:ObjectRemoved:DeleteMarkerCreated",
    "s3:ObjectTagging:*",
    "s3:ObjectTagging:Delete",
    "s3:ObjectTagging:Put",
)
"""The events that something here can set off."""
DESTINATIONS: Final[Mapping[str, str]] = {
    "LambdaConfigurations": "Function",
    "QueueConfigurations": "Queue",
    "TopicConfigurations": "Topic",
}
"""CloudFormation's blocks, and their member that names the destination."""
_ELSEWHERE: Final = re.compile(
    r"s3:(ReducedRedundancyLostObject|ObjectRestore:(\*|Post|Completed|Delete)|Replication:(\*|\w+)|IntelligentTiering"
    r"|LifecycleTransition|LifecycleExpiration:(\*|Delete|DeleteMarkerCreated)|ObjectAnnotation:(\*|\w+))"
)
_KINDS: Final[Mapping[str, str]] = {  # the element of a configuration, and its own that names the destination
    "CloudFunctionConfiguration": "CloudFunction",
    "QueueConfiguration": "Queue",
    "TopicConfiguration": "Topic",
}
_SERVICES: Final[Mapping[str, tuple[str, str]]] = {  # by the service in an ARN
    "lambda": ("CloudFunctionConfiguration", r"arn:aws[\w-]*:lambda:[a-z0-9-]+:\d{12}:function:[\w-]+(:[\w$-]+)?"),
    "sqs": ("QueueConfiguration", r"arn:aws[\w-]*:sqs:[a-z0-9-]+:\d{12}:[\w.-]+"),
    "sns": ("TopicConfiguration", r"arn:aws[\w-]*:sns:[a-z0-9-]+:\d{12}:[\w.-]+"),
}


class BadConfiguration(Exception):
    """S3 refuses a configuration. `name` and `value`: the argument that is wrong, "" where none is named."""

    def __init__(
        self, message: str, *, code: str = "InvalidArgument", status: int = 400, name: str = "", value: str = ""
    ) -> None:
        super().__init__(f"{message} ({value})" if value else message)
        self.message = message
        self.code = code
        self.status = status
        self.name = name
        self.value = value


@dataclass(frozen=True, slots=True)
class Rule:
    """Events of objects whose keys begin and end so go to one queue, topic or function. `rule_id` is its Id."""

    rule_id: str
    arn: str
    events: tuple[str, ...]
    prefix: str = ""
    suffix: str = ""

    @property
    def service(self) -> str:
        """The service of the destination: "lambda", "sqs" or "sns"."""
        return self.arn.split(":")[2]

    def takes(self, event: str, key: str) -> bool:
        """Whether it is for an event (`s3:ObjectCreated:Put`) of an object."""
        is_asked = any(event == each or (each.endswith("*") and event.startswith(each[:-1])) for each in self.events)
        return is_asked and key.startswith(self.prefix) and key.endswith(self.suffix)


@dataclass(frozen=True, slots=True)
class Configuration:
    """All that a bucket tells. `event_bridge`: every event goes to the default event bus as well."""

    rules: tuple[Rule, ...] = ()
    event_bridge: bool = False


def check_rules(rules: Sequence[Rule]) -> None:
    """Hold rules against S3's own. Raises BadConfiguration."""
    if len(rules) > MAX_RULES:
        raise BadConfiguration(f"The number of notification configurations is over {MAX_RULES}.")
    for rule in rules:
        _check_rule(rule)
    if len({rule.rule_id for rule in rules}) < len(rules):
        raise BadConfiguration("Same ID used for multiple configurations. IDs must be unique")
    for one, other in combinations(rules, 2):
        if _share_events(one, other) and _overlap(one, other):
            raise _overlapping(one, other)


def _check_rule(rule: Rule) -> None:
    parts = rule.arn.split(":")
    known = _SERVICES.get(parts[2]) if len(parts) > 2 else None
    if known is None or not re.fullmatch(known[1], rule.arn, re.ASCII):
        raise BadConfiguration("The ARN is not well formed", name="arn", value=rule.arn)
    if len(rule.rule_id) > MAX_ID_CHARS:
        raise BadConfiguration(f"The ID must be no longer than {MAX_ID_CHARS} characters")
    for event in rule.events:
        if event in SERVED_EVENTS:
            continue
        if _ELSEWHERE.fullmatch(event):
            message = f"{event}: nothing sets this event off in this local cloud."
            raise BadConfiguration(message, code="NotImplemented", status=501)
        raise BadConfiguration("A specified event is not supported for notifications.", name="Event", value=event)
    for text in (rule.prefix, rule.suffix):
        if len(text.encode()) > MAX_VALUE_BYTES:
            raise BadConfiguration(f"Size of filter rule value cannot exceed {MAX_VALUE_BYTES} bytes in UTF-8")


def _share_events(one: Rule, other: Rule) -> bool:
    return any(
        a == b or (a.endswith("*") and b.startswith(a[:-1])) or (b.endswith("*") and a.startswith(b[:-1]))
        for a in one.events
        for b in other.events
    )


def _overlap(one: Rule, other: Rule) -> bool:
    """Whether some key fits both filters, as S3 judges it: prefix by prefix, suffix by suffix."""
    prefixes = one.prefix.startswith(other.prefix) or other.prefix.startswith(one.prefix)
    return prefixes and (one.suffix.endswith(other.suffix) or other.suffix.endswith(one.suffix))


def _overlapping(one: Rule, other: Rule) -> BadConfiguration:
    if any((one.prefix, one.suffix, other.prefix, other.suffix)):
        return BadConfiguration(
            "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the prefixes are "
            "overlapping for the same event type."
        )
    return BadConfiguration(
        "Configurations overlap. Configurations on the same bucket cannot share a common event type.",
        name="Event",
        value=", ".join((*one.events, *other.events)),
    )


# ---------------------------------------------------------------- XML


def read_xml(body: bytes, new_ids: Iterable[str]) -> Configuration:
    """The configuration in a document whose form has been held before. Raises BadConfiguration.

    `new_ids`: Ids for rules that have none.
    """
    root = ET.fromstring(body)  # noqa: S314 - checks.py has read it: no DTD, a bounded depth
    rules: list[Rule] = []
    ids = iter(new_ids)
    event_bridge = False
    for element in root:
        name = _name(element)
        if name == "EventBridgeConfiguration":
            event_bridge = True
        elif name in _KINDS:
            rules.append(_read_rule(element, _KINDS[name], ids))
        else:
            raise _malformed(f"{name} is no member")
    for rule, element in zip(rules, [each for each in root if _name(each) in _KINDS], strict=True):
        if not rule.arn.startswith("arn:") or _SERVICES.get(rule.service, ("",))[0] != _name(element):
            raise BadConfiguration("The ARN is not well formed", name="arn", value=rule.arn)
    return Configuration(tuple(rules), event_bridge)


def _read_rule(element: ET.Element, destination: str, ids: Iterable[str]) -> Rule:
    found: dict[str, list[str]] = {}
    filters: dict[str, str] = {}
    for child in element:
        name = _name(child)
        if name == "Filter":
            filters = _read_filter(child)
        elif name in {"Id", "Event", destination}:
            found.setdefault(name, []).append(child.text or "")
        else:
            raise _malformed(f"{name} is no member")
    if len(found.get(destination, [])) != 1 or "Event" not in found or len(found.get("Id", [])) > 1:
        raise _malformed(f"one {destination}, at most one Id and at least one Event are needed")
    rule_id = found.get("Id", [""])[0] or next(iter(ids))
    return Rule(
        rule_id, found[destination][0], tuple(found["Event"]), filters.get("prefix", ""), filters.get("suffix", "")
    )


def _read_filter(element: ET.Element) -> dict[str, str]:
    found: dict[str, str] = {}
    for rule in element.iter():
        if _name(rule) != "FilterRule":
            continue
        members = {_name(each): each.text or "" for each in rule}
        add_filter(found, members.get("Name", ""), members.get("Value", ""))
    return found


def add_filter(found: dict[str, str], name: str, value: str) -> None:
    """Put one rule of a filter to the others, which are by name in lower case. Raises BadConfiguration."""
    lower = name.lower()
    if lower not in {"prefix", "suffix"}:
        message = "filter rule name must be either prefix or suffix"
        raise BadConfiguration(message, name="FilterRule.Name", value=name)
    if lower in found:
        raise BadConfiguration(
            f"Cannot specify more than one {lower} rule in a filter.", name="FilterRule.Name", value=name
        )
    found[lower] = value


def write_xml(configuration: Configuration) -> bytes:
    """As GetBucketNotificationConfiguration answers it."""
    parts = [_write_rule(rule) for rule in configuration.rules]
    if configuration.event_bridge:
        parts.append("<EventBridgeConfiguration/>")
    text = f'<NotificationConfiguration xmlns="{_XMLNS}">{"".join(parts)}</NotificationConfiguration>'
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()


def _write_rule(rule: Rule) -> str:
    kind = _SERVICES[rule.service][0]
    filters = "".join(
        f"<FilterRule><Name>{name}</Name><Value>{escape(value)}</Value></FilterRule>"
        for name, value in (("Prefix", rule.prefix), ("Suffix", rule.suffix))
        if value
    )
    events = "".join(f"<Event>{event}</Event>" for event in rule.events)
    shown = f"<Filter><S3Key>{filters}</S3Key></Filter>" if filters else ""
    destination = f"<{_KINDS[kind]}>{rule.arn}</{_KINDS[kind]}>"
    return f"<{kind}><Id>{escape(rule.rule_id)}</Id>{destination}{events}{shown}</{kind}>"


def _name(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _malformed(why: str) -> BadConfiguration:
    message = f"The XML you provided was not well-formed or did not validate against our published schema: {why}."
    return BadConfiguration(message, code="MalformedXML")
