"""Filter rules: which records of a topic go on to which destination, and how much of them.

    rule = parse_rule({
        "topic": "orders", "rule_id": "large-orders", "pattern": {"total": [{"numeric": [">", 100]}]},
        "columns": ["order", "total", "customer"], "masks": {"customer.email": "tokenise"},
        "destination": {"type": "sqs", "url": "https://sqs.eu-west-1.amazonaws.com/123456789012/large-orders"},
    })

A rule is refused when it is written, by the member that is wrong; and by the same words when it is met in a table that
somebody else has written. The pattern is judged on the whole record: a rule is its owner's word, and says itself what
leaves. Must not know stores, batches or how a destination is reached.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, Literal, NamedTuple, TypeAlias, cast, get_args

from sluiceway.errors import Rejected
from sluiceway.rules.masking import CLEAR, MASKS, Cell, Treatment
from sluiceway.rules.selecting import read_columns, read_rows
from sluiceway.rules.views import read_masks

__all__ = ["Destination", "DestinationKind", "FilterRule", "needs_key", "parse_rule", "write_rule"]

DestinationKind: TypeAlias = Literal["stream", "sqs", "sns", "events", "s3"]

MAX_VERSION: Final = 2**53


class _Form(NamedTuple):
    """How a text is written, and what it is called."""

    text: re.Pattern[str]
    what: str


# With shard and sequence number, an id makes a deduplication id of 128 characters
_ID: Final = _Form(re.compile(r"[A-Za-z0-9._-]{1,40}"), "1 to 40 letters, digits, dots, dashes and underscores")
_TOPIC: Final = _Form(re.compile(r"[A-Za-z0-9._-]{1,128}"), "a topic's name")
# Kinesis API_CreateStream, SQS API_CreateQueue, SNS API_CreateTopic, EventBridge API_PutEventsRequestEntry, S3's naming
# rules and "safe characters" of keys
_STREAM: Final = _Form(re.compile(r"[a-zA-Z0-9_.-]{1,128}"), "a stream's name")
_QUEUE: Final = _Form(re.compile(r"https?://[^\s/]+/\d{12}/[A-Za-z0-9_-]{1,75}(\.fifo)?"), "a queue's URL")
_SNS: Final = _Form(
    re.compile(r"arn:[a-z-]+:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,251}(\.fifo)?"), "an SNS topic's ARN"
)
_BUS: Final = _Form(
    re.compile(r"(arn:[a-z-]+:events:[a-z0-9-]+:\d{12}:event-bus/)?[/.\-_A-Za-z0-9]{1,256}"),
    "an event bus's name or ARN",
)
_BUCKET: Final = _Form(re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"), "a bucket's name")
_PREFIX: Final = _Form(re.compile(r"[A-Za-z0-9!_.*'()/=-]{0,200}"), "at most 200 characters that are safe in keys")
_WORDS: Final = _Form(re.compile(r"[^\x00-\x1f\x7f]{1,128}"), "1 to 128 characters without control characters")
_MEMBERS: Final = frozenset({"topic", "rule_id", "pattern", "columns", "masks", "destination", "enabled", "version"})


class Destination(NamedTuple):
    """Where records go. `target`: a stream's name, a queue's URL, an SNS topic's ARN, a bus or a bucket.

    `ordered`: records of one partition key arrive in their order; false costs less on a stream. `source` and
    `detail_type` are an event's, `prefix` begins the keys of objects.
    """

    kind: DestinationKind
    target: str
    ordered: bool = False
    source: str = ""
    detail_type: str = ""
    prefix: str = ""

    @property
    def is_fifo(self) -> bool:
        """Whether it is a queue or topic that has groups and drops duplicates."""
        return self.kind in {"sqs", "sns"} and self.target.endswith(".fifo")


class FilterRule(NamedTuple):
    """One rule of a topic. `pattern` is canonical text, "" for every record; `columns` () for all of a record.

    `version` counts the times that it was written, 0 for one that never was.
    """

    topic: str
    rule_id: str
    destination: Destination
    pattern: str = ""
    columns: tuple[str, ...] = ()
    masks: tuple[tuple[str, Cell], ...] = ()
    enabled: bool = True
    version: int = 0

    @property
    def shows_all(self) -> bool:
        """Whether records leave as they came."""
        return not self.columns and not self.masks


def parse_rule(members: Mapping[str, object]) -> FilterRule:
    """The rule in decoded JSON, whose `pattern` may also be JSON text. Raises: Rejected with the `field` that is wrong.

    The reasons: `invalid-rule`, `invalid-pattern` (`pattern.total`).
    """
    unknown = sorted(members.keys() - _MEMBERS)
    if unknown:
        raise _refuse(unknown[0], "is no member of a rule")
    topic = _match(members, "topic", _TOPIC)
    pattern = members.get("pattern", "")
    columns, masks = members.get("columns"), members.get("masks")
    enabled, version = members.get("enabled", True), members.get("version", 0)
    if not isinstance(enabled, bool):
        raise _refuse("enabled", "must be true or false")
    if not isinstance(version, int) or isinstance(version, bool) or not 0 <= version <= MAX_VERSION:
        raise _refuse("version", "must be a whole number")
    return FilterRule(
        topic=topic,
        rule_id=_match(members, "rule_id", _ID),
        destination=_read_destination(members.get("destination"), topic),
        pattern="" if pattern == "" else read_rows(pattern, field="pattern"),
        columns=() if columns is None else read_columns(columns, reason="invalid-rule"),
        masks=() if masks is None else read_masks(masks, topic, reason="invalid-rule"),
        enabled=enabled,
        version=version,
    )


def write_rule(rule: FilterRule) -> dict[str, object]:
    """What `parse_rule` reads, in JSON's types alone."""
    words = {treatment: word for word, treatment in MASKS.items()}
    masks: dict[str, object] = {}
    for path, cell in rule.masks:
        word = words[cell.treatment]
        own = cell.domain in {"", f"{rule.topic}/{path}"}
        masks[path] = word if own else {"mask": word, "domain": cell.domain}
    return {
        "topic": rule.topic,
        "rule_id": rule.rule_id,
        "pattern": rule.pattern,
        "destination": _write_destination(rule.destination),
        "enabled": rule.enabled,
        "version": rule.version,
        **({"columns": list(rule.columns)} if rule.columns else {}),
        **({"masks": masks} if masks else {}),
    }


def needs_key(rule: FilterRule) -> bool:
    """Whether nothing of it can be sent without a key: it has pseudonyms, or must hide the key that orders it."""
    has_pseudonyms = any(CLEAR.treatment < cell.treatment < Treatment.REDACT for _, cell in rule.masks)
    is_keyed = rule.destination.kind == "stream" or rule.destination.is_fifo
    return has_pseudonyms or (is_keyed and not rule.shows_all)


# ---------------------------------------------------------------- destinations


class _Kind(NamedTuple):
    """How one kind is written: the member that names it and its form, and the members that it may have beside."""

    member: str
    form: _Form
    others: frozenset[str] = frozenset()


_KINDS: Final[Mapping[str, _Kind]] = {
    "stream": _Kind("name", _STREAM, frozenset({"ordered"})),
    "sqs": _Kind("url", _QUEUE),
    "sns": _Kind("topic_arn", _SNS),
    "events": _Kind("bus", _BUS, frozenset({"source", "detail_type"})),
    "s3": _Kind("bucket", _BUCKET, frozenset({"prefix"})),
}


def _read_destination(value: object, topic: str) -> Destination:
    members = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    name = members.get("type")
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise _refuse("destination.type", f"must be one of {', '.join(get_args(DestinationKind))}")
    unknown = sorted(members.keys() - {"type", kind.member} - kind.others)
    if unknown:
        raise _refuse(f"destination.{unknown[0]}", f"is no member of a destination of type {name}")
    target = _match(members, kind.member, kind.form, prefix="destination.")
    ordered = members.get("ordered", name == "stream")
    if not isinstance(ordered, bool):
        raise _refuse("destination.ordered", "must be true or false")
    found = Destination(cast("DestinationKind", name), target, ordered=ordered)
    if name == "events":
        source = _optional(members, "source", _WORDS, default="sluiceway")
        if source.startswith("aws."):
            raise _refuse("destination.source", "must not begin with aws.")
        return found._replace(source=source, detail_type=_optional(members, "detail_type", _WORDS, default=topic))
    if name == "s3":
        return found._replace(prefix=_optional(members, "prefix", _PREFIX, default=""))
    return found._replace(ordered=ordered or found.is_fifo)


def _write_destination(destination: Destination) -> dict[str, object]:
    written: dict[str, object] = {
        "type": destination.kind,
        _KINDS[destination.kind].member: destination.target,
    }
    extra: Mapping[str, Callable[[], object]] = {
        "ordered": lambda: destination.ordered,
        "source": lambda: destination.source,
        "detail_type": lambda: destination.detail_type,
        "prefix": lambda: destination.prefix,
    }
    return {**written, **{name: extra[name]() for name in sorted(_KINDS[destination.kind].others)}}


def _match(members: Mapping[str, object], name: str, form: _Form, *, prefix: str = "") -> str:
    value = members.get(name)
    if not isinstance(value, str) or form.text.fullmatch(value) is None:
        raise _refuse(f"{prefix}{name}", f"must be {form.what}")
    return value


def _optional(members: Mapping[str, object], name: str, form: _Form, *, default: str) -> str:
    return _match(members, name, form, prefix="destination.") if name in members else default


def _refuse(field: str, rule: str) -> Rejected:
    return Rejected(f"{field} {rule}", reason="invalid-rule", field=field)
