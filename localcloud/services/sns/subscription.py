"""One subscription and its attributes: filter policy, raw delivery, dead letters. Pure; text in and out as on the wire.

Source: https://docs.aws.amazon.com/sns/latest/api/API_SetSubscriptionAttributes.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, cast, get_args

from localcloud.json_text import MalformedJson, parse_json
from localcloud.services.contract import ACCOUNT_ID
from localcloud.services.sns.errors import SnsError, invalid
from sluiceway.rules.filter_policies import FilterPolicy, Scope
from sluiceway.rules.patterns import InvalidPattern

__all__ = ["PROTOCOLS", "UNSERVED_PROTOCOLS", "Subscription", "check_endpoint"]

PROTOCOLS: Final = ("sqs", "lambda")
UNSERVED_PROTOCOLS: Final = ("http", "https", "email", "email-json", "sms", "application", "firehose")
_QUEUE: Final = re.compile(r"arn:[a-z0-9-]+:sqs:[a-z0-9-]+:(\d{12}):[A-Za-z0-9_-]{1,80}(\.fifo)?")
_FUNCTION: Final = re.compile(
    r"arn:[a-z0-9-]+:lambda:[a-z0-9-]+:(\d{12}):function:[A-Za-z0-9_-]{1,140}(:[A-Za-z0-9$_-]{1,128})?"
)
_REFUSED: Final = {
    "DeliveryPolicy": "only http endpoints have one, and those are not served by this local cloud",
    "ReplayPolicy": "archives are not served by this local cloud",
    "SubscriptionRoleArn": "only Firehose endpoints have one, and those are not served by this local cloud",
}
_NAMES: Final = ("FilterPolicy", "FilterPolicyScope", "RawMessageDelivery", "RedrivePolicy")
# What AWS says of a policy that breaks a rule of the language; where it is not known, the rule is told in our words
_WORDS: Final = {
    "empty-array": "Empty arrays are not allowed",
    "empty-object": "Empty objects are not allowed",
    "operator": "Only one key allowed in match expression",
    "value": "Match value must be String, number, true, false, or null",
}


class Subscription:
    """An endpoint's subscription to a topic; confirmed from the start, since topic and endpoint have one owner.

    `principal` is who subscribed. `is_raw`, `filter`, `dead_letter_arn` ("" for none) say what its attributes mean.
    """

    def __init__(self, arn: str, *, protocol: str, endpoint: str, principal: str) -> None:
        self.arn = arn
        self.topic_arn = arn.rpartition(":")[0]
        self.protocol = protocol
        self.endpoint = endpoint
        self.principal = principal
        self.is_deleted = False
        self.is_raw = False
        self.dead_letter_arn = ""
        self.filter: FilterPolicy | None = None
        self._scope: Scope = "MessageAttributes"
        self._texts: dict[str, str] = {}

    def describe(self) -> dict[str, str]:
        """Every attribute, as GetSubscriptionAttributes has them; the scope goes with a filter policy."""
        found = {
            "ConfirmationWasAuthenticated": "true",
            "Endpoint": self.endpoint,
            "Owner": ACCOUNT_ID,
            "PendingConfirmation": "false",
            "Protocol": self.protocol,
            "RawMessageDelivery": "true" if self.is_raw else "false",
            "SubscriptionArn": self.arn,
            "SubscriptionPrincipal": self.principal,
            "TopicArn": self.topic_arn,
        }
        if "FilterPolicy" in self._texts:
            found["FilterPolicyScope"] = self._scope
        return found | self._texts

    def is_like(self, attributes: Mapping[str, str]) -> bool:
        """Whether these attributes are what it has."""
        has = {"FilterPolicyScope": self._scope, **self.describe()}
        return all(has.get(name, "") == _canonical(name, value) for name, value in attributes.items())

    def configure(self, attributes: Mapping[str, str], *, subscribing: bool = False) -> None:
        """Set attributes; nothing changes where one is refused. `subscribing`: in the words of Subscribe.

        Raises SnsError: InvalidParameter.
        """
        where = "Attributes Reason: " if subscribing else ""
        for name, value in attributes.items():
            self._check(name, value, where)
        scope = cast("Scope", attributes.get("FilterPolicyScope", self._scope))
        policy = attributes.get("FilterPolicy", self._texts.get("FilterPolicy", ""))
        compiled = _compile(policy, scope, where) if policy else None
        target = _read_target(attributes["RedrivePolicy"], where) if attributes.get("RedrivePolicy") else ""
        self._scope, self.filter = scope, compiled
        if "RedrivePolicy" in attributes:
            self.dead_letter_arn = target
        if "RawMessageDelivery" in attributes:
            self.is_raw = attributes["RawMessageDelivery"].lower() == "true"
        for name in ("FilterPolicy", "RedrivePolicy"):
            if name in attributes:
                self._texts[name] = attributes[name]
        self._texts = {name: text for name, text in self._texts.items() if text}

    def _check(self, name: str, value: str, where: str) -> None:
        if name in _REFUSED:
            raise invalid(f"{where}{name}: {_REFUSED[name]}")
        if name not in _NAMES:
            raise invalid(f"{where}AttributeName")
        if name == "FilterPolicyScope" and value not in get_args(Scope):
            message = f"Invalid value [{value}]. Please use either MessageBody or MessageAttributes"
            raise invalid(f"{where}FilterPolicyScope: {message}")
        if name == "RawMessageDelivery":
            if value.lower() not in ("true", "false"):
                raise invalid(f"{where}RawMessageDelivery: Invalid value [{value}]. Must be true or false.")
            if value.lower() == "true" and self.protocol != "sqs":
                raise invalid(f"{where}Delivery protocol [{self.protocol}] does not support raw message delivery.")
        if name == "RedrivePolicy" and value:
            self._check_redrive(_read_target(value, where), where)

    def _check_redrive(self, target: str, where: str) -> None:
        mismatch = target.endswith(".fifo") != self.endpoint.endswith(".fifo")
        if mismatch and self.endpoint.endswith(".fifo"):
            words = "must use a FIFO queue as DLQ for a FIFO Subscription to a FIFO Topic."
            raise invalid(f"{where}RedrivePolicy: {words}")
        if mismatch:
            raise invalid(f"{where}RedrivePolicy: must use a standard queue as DLQ for a standard Subscription.")
        if target.split(":")[3:5] != self.topic_arn.split(":")[3:5]:
            raise invalid(f"{where}RedrivePolicy: the queue must be of the topic's account and Region")


def check_endpoint(protocol: str, endpoint: str, *, is_fifo: bool) -> None:
    """Hold the endpoint of a new subscription against its protocol and the kind of topic.

    Raises SnsError: InvalidParameter, with the protocol's name where the local cloud does not serve it.
    """
    if protocol in UNSERVED_PROTOCOLS:
        served = " and ".join(PROTOCOLS)
        raise invalid(f"Protocol Reason: {protocol} endpoints are not served by this local cloud; {served} are")
    if protocol not in PROTOCOLS:
        raise invalid(f"Amazon SNS does not support this protocol string: {protocol}")
    found = (_QUEUE if protocol == "sqs" else _FUNCTION).fullmatch(endpoint)
    if found is None:
        raise invalid("SQS endpoint ARN" if protocol == "sqs" else "Lambda endpoint ARN")
    if found[1] != ACCOUNT_ID:
        raise invalid("Endpoint Reason: endpoints of other accounts are not served by this local cloud")
    if is_fifo and protocol != "sqs":
        raise invalid("Protocol Reason: FIFO topics deliver to SQS queues only")
    if not is_fifo and endpoint.endswith(".fifo"):
        words = "FIFO SQS Queues can not be subscribed to standard SNS topics"
        raise invalid(f"Invalid parameter: Endpoint Reason: {words}")


def _canonical(name: str, value: str) -> str:
    return value.lower() if name == "RawMessageDelivery" else value


def _compile(policy: str, scope: Scope, where: str) -> FilterPolicy:
    try:
        return FilterPolicy(policy, scope)
    except InvalidPattern as error:
        raise _refuse_policy(error, where) from error


def _refuse_policy(error: InvalidPattern, where: str) -> SnsError:
    if error.reason == "nested":
        return invalid(where + error.rule)
    if error.reason == "invalid-json":
        return invalid(f"{where}FilterPolicy: failed to parse JSON.")
    if error.reason == "not-object-or-array":
        name = (error.field or "").rpartition(".")[2]
        return invalid(f'{where}FilterPolicy: "{name}" must be an object or an array')
    if error.reason in ("too-complex", "too-many-keys"):
        return invalid(f"{where}FilterPolicy: {error.rule}")
    return invalid(f"{where}FilterPolicy: {_WORDS.get(error.reason, '') or error}")


def _read_target(text: str, where: str) -> str:
    """The queue of a RedrivePolicy."""
    try:
        policy = parse_json(text)
    except MalformedJson as error:
        raise invalid(f"{where}RedrivePolicy: failed to parse JSON. {error}") from error
    members = cast("dict[str, object]", policy) if isinstance(policy, dict) else {}
    target = members.get("deadLetterTargetArn")
    if not isinstance(target, str) or not _QUEUE.fullmatch(target):
        raise invalid(f"{where}RedrivePolicy: deadLetterTargetArn is an invalid arn")
    if len(members) > 1:
        raise invalid(f"{where}RedrivePolicy: deadLetterTargetArn is all that it may have")
    return target
