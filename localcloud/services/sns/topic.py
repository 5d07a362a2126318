"""One topic: its attributes, its subscriptions, and what makes a FIFO topic one. Knows no protocol.

A FIFO topic numbers what it accepts, and accepts a deduplication id once in five minutes: whoever publishes it again is
answered as the first time, and nothing is delivered. Dates come from the caller.
Sources: https://docs.aws.amazon.com/sns/latest/api/API_SetTopicAttributes.html, API_CreateTopic.html
and https://docs.aws.amazon.com/sns/latest/dg/fifo-message-dedup.html
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from localcloud.services.contract import ACCOUNT_ID
from localcloud.services.sns.errors import invalid
from localcloud.services.sns.message import Publication, check_token
from localcloud.services.sns.policies import check_policy, default_policy
from localcloud.services.sns.subscription import Subscription

__all__ = ["Published", "Topic", "check_topic_attributes"]

DEDUPLICATION_S: Final = 300.0  # fifo-message-dedup
MAX_DISPLAY_NAME_CHARS: Final = 100  # API_CreateTopic
_FIRST_SEQUENCE: Final = 10_000_000_000_000_000_000  # twenty digits, which do not follow each other closely
_SEQUENCE_STEP: Final = 1_000
_FIFO_ONLY: Final = ("ContentBasedDeduplication", "FifoThroughputScope")
_CHOICES: Final = {
    "ContentBasedDeduplication": ("true", "false"),
    "FifoThroughputScope": ("Topic", "MessageGroup"),
    "SignatureVersion": ("1", "2"),
    "TracingConfig": ("PassThrough", "Active"),
}
_TEXTS: Final = ("DisplayName", "KmsMasterKeyId", "Policy")
_REFUSED: Final = {
    "ArchivePolicy": "archives are",
    "DataProtectionPolicy": "data protection is",
    "DeliveryPolicy": "delivery policies, which only http endpoints have, are",
}
_FEEDBACK: Final = ("FailureFeedbackRoleArn", "SuccessFeedbackRoleArn", "SuccessFeedbackSampleRate")
_EFFECTIVE_DELIVERY_POLICY: Final = (
    '{"http":{"defaultHealthyRetryPolicy":{"minDelayTarget":20,"maxDelayTarget":20,"numRetries":3,'
    '"numMaxDelayRetries":0,"numNoDelayRetries":0,"numMinDelayRetries":0,"backoffFunction":"linear"},'
    '"disableSubscriptionOverrides":false,"defaultRequestPolicy":{"headerContentType":"text/plain; charset=UTF-8"}}}'
)


@dataclass(frozen=True, slots=True)
class Published:
    """What Publish answers. `sequence_number` is "" for standard topics."""

    message_id: str
    sequence_number: str = ""


class Topic:
    """A topic. `subscriptions` by ARN, in the order in which they came."""

    def __init__(self, arn: str, *, is_fifo: bool) -> None:
        self.arn = arn
        self.name = arn.rpartition(":")[2]
        self.region = arn.split(":")[3]
        self.is_fifo = is_fifo
        self.tags: dict[str, str] = {}
        self.subscriptions: dict[str, Subscription] = {}
        self.removed = 0
        self._attributes: dict[str, str] = {}
        self._accepted: dict[tuple[str, str], tuple[float, Published]] = {}  # in the order of their dates
        self._sequence = _FIRST_SEQUENCE

    @property
    def policy(self) -> str:
        """The access policy, JSON text."""
        return self._attributes.get("Policy") or default_policy(self.arn)

    @property
    def signature_version(self) -> str:
        """`1` or `2`."""
        return self._attributes.get("SignatureVersion", "1")

    def configure(self, attributes: Mapping[str, str]) -> None:
        """Set attributes that `check_topic_attributes` has passed; "" takes one back to what it was at first."""
        merged = self._attributes | dict(attributes)
        self._attributes = {name: value for name, value in merged.items() if value}

    def describe(self) -> dict[str, str]:
        """Every attribute, as GetTopicAttributes has them."""
        found = {
            "DisplayName": "",
            "EffectiveDeliveryPolicy": _EFFECTIVE_DELIVERY_POLICY,
            "Owner": ACCOUNT_ID,
            "Policy": self.policy,
            "SubscriptionsConfirmed": str(len(self.subscriptions)),
            "SubscriptionsDeleted": str(self.removed),
            "SubscriptionsPending": "0",
            "TopicArn": self.arn,
        }
        if self.is_fifo:
            found |= {"ContentBasedDeduplication": "false", "FifoTopic": "true"}
        return found | self._attributes

    def check_ids_given(self, publication: Publication) -> None:
        """Whether a FIFO topic has the ids that it needs. Raises SnsError: InvalidParameter."""
        if not self.is_fifo:
            return
        if not publication.group_id:
            raise invalid("The MessageGroupId parameter is required for FIFO topics")
        if not publication.deduplication_id and self._attributes.get("ContentBasedDeduplication") != "true":
            raise invalid(
                "The topic should either have ContentBasedDeduplication enabled "
                "or MessageDeduplicationId provided explicitly"
            )

    def identify(self, publication: Publication) -> Publication:
        """The publication with its deduplication id, its ids held against the kind of topic.

        Raises SnsError: InvalidParameter.
        """
        self.check_ids_given(publication)
        given = publication.deduplication_id
        if given and not self.is_fifo:
            words = "The request includes MessageDeduplicationId parameter that is not valid for this topic type"
            raise invalid(f"MessageDeduplicationId Reason: {words}")
        for name, token in (("MessageGroupId", publication.group_id), ("MessageDeduplicationId", given)):
            if token:
                check_token(name, token)
        if given or not self.is_fifo:
            return publication
        return replace(publication, deduplication_id=hashlib.sha256(publication.message.encode()).hexdigest())

    def find_accepted(self, publication: Publication, *, now_s: float) -> Published | None:
        """What was answered when this deduplication id was accepted, None where it was not in the last 5 minutes."""
        for key, (accepted_s, _) in list(self._accepted.items()):
            if accepted_s + DEDUPLICATION_S > now_s:
                break
            del self._accepted[key]
        accepted = self._accepted.get(self._scope_key(publication))
        return accepted[1] if accepted is not None else None

    def accept(self, publication: Publication, message_id: str, *, now_s: float) -> Published:
        """Number a publication of a FIFO topic, and remember its deduplication id."""
        self._sequence += _SEQUENCE_STEP
        published = Published(message_id, str(self._sequence))
        self._accepted[self._scope_key(publication)] = (now_s, published)
        return published

    def _scope_key(self, publication: Publication) -> tuple[str, str]:
        by_group = self._attributes.get("FifoThroughputScope") == "MessageGroup"
        return publication.group_id if by_group else "", publication.deduplication_id


def check_topic_attributes(attributes: Mapping[str, str], *, is_fifo: bool, where: str = "") -> None:
    """Hold new attribute values against their rules. `where` begins the sentence of CreateTopic's errors.

    Raises SnsError: InvalidParameter, with the attribute's name where the local cloud does not serve it.
    """
    for name, value in attributes.items():
        _check_name(name, where, is_fifo=is_fifo)
        if name in _CHOICES and value not in _CHOICES[name]:
            raise invalid(f"{where}{name}: Invalid value [{value}]. Must be {' or '.join(_CHOICES[name])}.")
        if name == "DisplayName" and len(value) > MAX_DISPLAY_NAME_CHARS:
            raise invalid(f"{where}DisplayName")
        if name == "Policy" and value:
            check_policy(value)


def _check_name(name: str, where: str, *, is_fifo: bool) -> None:
    if name in _REFUSED:
        raise invalid(f"{where}{name}: {_REFUSED[name]} not served by this local cloud")
    if name.endswith(_FEEDBACK):
        raise invalid(f"{where}{name}: delivery status logging is not served by this local cloud")
    if name not in _CHOICES and name not in _TEXTS:
        raise invalid(f"{where}AttributeName")
    if name in _FIFO_ONLY and not is_fifo:
        raise invalid(f"{where}{name}: only FIFO topics have it")
