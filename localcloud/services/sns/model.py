"""All topics of all Regions, their subscriptions, and how a publication becomes deliveries. Knows no protocol.

In-process publishers (EventBridge, S3, alarms) call `publish`; the wire uses `Topics` for the rest.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Collection, Mapping
from typing import Final

from localcloud.clock import Clock
from localcloud.services.contract import ACCOUNT_ID
from localcloud.services.sns.delivery import Deliveries
from localcloud.services.sns.errors import SnsError, invalid, no_such_topic
from localcloud.services.sns.message import Attribute, Publication, check_publication
from localcloud.services.sns.notification import Notification
from localcloud.services.sns.policies import add_statement, remove_statement
from localcloud.services.sns.ports import Endpoints
from localcloud.services.sns.subscription import Subscription, check_endpoint
from localcloud.services.sns.topic import Published, Topic, check_topic_attributes
from localcloud.uuids import new_uuid

__all__ = ["Attribute", "Publication", "Published", "Subscription", "Topic", "Topics"]

MAX_TOPICS: Final = 100_000  # general/latest/gr/sns.html, as the four below
MAX_FIFO_TOPICS: Final = 1_000
MAX_FIFO_SUBSCRIPTIONS: Final = 100
MAX_FILTER_POLICIES: Final = 200  # of a topic
MAX_TAGS: Final = 50  # API_TagResource, as the two below
MAX_TAG_KEY_CHARS: Final = 128
MAX_TAG_VALUE_CHARS: Final = 256
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,256}")  # API_CreateTopic, as the next
_FIFO_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,251}\.fifo")
_FIFO_NAME_RULE: Final = (
    "Fifo Topic names must end with .fifo and must be made up of only uppercase and lowercase ASCII letters, numbers, "
    "underscores, and hyphens, and must be between 1 and 256 characters long."
)


class Topics:
    """The topics of the account. State lives here and nowhere else; one event loop; `close()` before `group` ends.

    `endpoints` take what is delivered. `endpoint` is where the local cloud answers AWS calls, the root of every
    unsubscribe URL; it may be set once the port is known.
    """

    endpoint: str = "http://127.0.0.1:4600"

    def __init__(
        self,
        *,
        clock: Clock,
        rng: random.Random,
        group: asyncio.TaskGroup,
        endpoints: Endpoints,
        partition: str = "aws",
    ) -> None:
        self._clock = clock
        self._rng = rng
        self._deliveries = Deliveries(endpoints, group=group, rng=rng)
        self._partition = partition
        self._topics: dict[str, Topic] = {}  # by ARN
        self._subscriptions: dict[str, Subscription] = {}  # by ARN

    @property
    def pending(self) -> int:
        """How many notifications are neither delivered nor given up."""
        return self._deliveries.pending

    def close(self) -> None:
        """Give up everything that is not delivered yet."""
        self._deliveries.close()

    # ---------------------------------------------------------------------- topics

    def arn_of(self, name: str, region: str) -> str:
        """The ARN that a topic of this name has."""
        return f"arn:{self._partition}:sns:{region}:{ACCOUNT_ID}:{name}"

    def find(self, arn: str) -> Topic | None:
        """The topic of an ARN, None where there is none."""
        return self._topics.get(arn)

    def policy_text(self, arn: str) -> str:
        """The access policy of a topic, for IAM's check; "" where there is no topic."""
        topic = self._topics.get(arn)
        return topic.policy if topic is not None else ""

    def get(self, arn: str, region: str) -> Topic:
        """The topic of an ARN, asked for in a Region. Raises SnsError: InvalidParameter, NotFound."""
        _check_arn("TopicArn", arn)
        if arn.split(":")[3] != region:
            raise invalid("TopicArn")
        topic = self._topics.get(arn)
        if topic is None:
            raise no_such_topic()
        return topic

    def list(self, region: str) -> list[Topic]:
        """The Region's topics, by ARN."""
        return sorted((topic for topic in self._topics.values() if topic.region == region), key=lambda each: each.arn)

    def create(self, name: str, region: str, *, attributes: Mapping[str, str], tags: Mapping[str, str]) -> Topic:
        """Make a topic, or give the one that has this name, unless an attribute or tag differs.

        Raises SnsError: InvalidParameter, TopicLimitExceeded, TagLimitExceeded.
        """
        is_fifo = attributes.get("FifoTopic", "false").lower() == "true"
        wanted = {key: value for key, value in attributes.items() if key != "FifoTopic"}
        if is_fifo and not _FIFO_NAME.fullmatch(name):
            raise invalid(f"Topic Name Reason: {_FIFO_NAME_RULE}")
        if not is_fifo and not _NAME.fullmatch(name):
            raise invalid("Topic Name")
        check_topic_attributes(wanted, is_fifo=is_fifo, where="Attributes Reason: ")
        arn = self.arn_of(name, region)
        existing = self._topics.get(arn)
        if existing is not None:
            _check_same(existing, wanted, tags)
            return existing
        self._check_room(is_fifo=is_fifo)
        topic = Topic(arn, is_fifo=is_fifo)
        topic.configure(wanted)
        self.tag(topic, tags)
        self._topics[arn] = topic
        return topic

    def delete(self, arn: str, region: str) -> None:
        """Delete a topic with its subscriptions; one that is not there is no error.

        Raises SnsError: InvalidParameter.
        """
        _check_arn("TopicArn", arn)
        if arn.split(":")[3] != region:
            raise invalid("TopicArn")
        topic = self._topics.pop(arn, None)
        for subscription in list(topic.subscriptions.values()) if topic is not None else ():
            self._drop(subscription)

    def configure(self, topic: Topic, attributes: Mapping[str, str]) -> None:
        """Change a topic's attributes; nothing changes where one is refused. Raises SnsError: InvalidParameter."""
        check_topic_attributes(attributes, is_fifo=topic.is_fifo)
        topic.configure(attributes)

    def add_permission(self, topic: Topic, label: str, *, accounts: list[str], actions: list[str]) -> None:
        """Let accounts do actions on a topic. Raises SnsError: InvalidParameter."""
        policy = add_statement(topic.policy, topic.arn, label=label, accounts=accounts, actions=actions)
        topic.configure({"Policy": policy})

    def remove_permission(self, topic: Topic, label: str) -> None:
        """Take a statement of the policy away. Raises SnsError: InvalidParameter where there is none."""
        topic.configure({"Policy": remove_statement(topic.policy, label)})

    def tagged(self, arn: str, region: str) -> Topic:
        """The topic whose tags are asked for. Raises SnsError: InvalidParameter, ResourceNotFound."""
        try:
            return self.get(arn, region)
        except SnsError as error:
            if error.code != "NotFound":
                raise
            raise SnsError("ResourceNotFound", "Resource does not exist") from error

    def tag(self, topic: Topic, tags: Mapping[str, str]) -> None:
        """Add or replace tags. Raises SnsError: InvalidParameter, TagLimitExceeded over 50."""
        for key, value in tags.items():
            if not 1 <= len(key) <= MAX_TAG_KEY_CHARS or key.lower().startswith("aws:"):
                raise invalid("Tag key")
            if len(value) > MAX_TAG_VALUE_CHARS:
                raise invalid("Tag value")
        merged = topic.tags | dict(tags)
        if len(merged) > MAX_TAGS:
            raise SnsError("TagLimitExceeded", "Could not complete request: tag quota of per resource exceeded")
        topic.tags = merged

    def untag(self, topic: Topic, keys: Collection[str]) -> None:
        """Take tags away; a key that is not there is no error."""
        topic.tags = {key: value for key, value in topic.tags.items() if key not in keys}

    # ---------------------------------------------------------------------- subscriptions

    def subscribe(
        self, topic: Topic, protocol: str, endpoint: str, *, attributes: Mapping[str, str], principal: str = ""
    ) -> Subscription:
        """Subscribe an endpoint, or give the subscription that it has, unless an attribute differs.

        `principal`: the ARN of who subscribes, "" for the account itself.
        Raises SnsError: InvalidParameter, SubscriptionLimitExceeded, FilterPolicyLimitExceeded.
        """
        check_endpoint(protocol, endpoint, is_fifo=topic.is_fifo)
        known = [
            each for each in topic.subscriptions.values() if (each.protocol, each.endpoint) == (protocol, endpoint)
        ]
        if known:
            if not known[0].is_like(attributes):
                raise invalid("Attributes Reason: Subscription already exists with different attributes")
            return known[0]
        if topic.is_fifo and len(topic.subscriptions) >= MAX_FIFO_SUBSCRIPTIONS:
            raise SnsError("SubscriptionLimitExceeded", "The topic has as many subscriptions as it may have")
        owner = principal or f"arn:{self._partition}:iam::{ACCOUNT_ID}:root"
        arn = f"{topic.arn}:{self._new_id()}"
        made = Subscription(arn, protocol=protocol, endpoint=endpoint, principal=owner)
        made.configure(attributes, subscribing=True)
        self._check_filters(topic, made)
        topic.subscriptions[arn] = self._subscriptions[arn] = made
        return made

    def subscription(self, arn: str, region: str) -> Subscription:
        """The subscription of an ARN. Raises SnsError: InvalidParameter, NotFound."""
        _check_arn("SubscriptionArn", arn)
        found = self._subscriptions.get(arn)
        if found is None or arn.split(":")[3] != region:
            raise SnsError("NotFound", "Subscription does not exist")
        return found

    def subscriptions(self, region: str) -> list[Subscription]:
        """The Region's subscriptions, by ARN."""
        found = (each for each in self._subscriptions.values() if each.arn.split(":")[3] == region)
        return sorted(found, key=lambda each: each.arn)

    def configure_subscription(self, subscription: Subscription, attributes: Mapping[str, str]) -> None:
        """Change a subscription's attributes. Raises SnsError: InvalidParameter, FilterPolicyLimitExceeded."""
        if attributes.get("FilterPolicy") and subscription.filter is None:
            self._check_filters(self._topics[subscription.topic_arn], None)
        subscription.configure(attributes)

    def unsubscribe(self, arn: str) -> None:
        """End a subscription; one that is not there is no error. Raises SnsError: InvalidParameter."""
        _check_arn("SubscriptionArn", arn)
        found = self._subscriptions.get(arn)
        if found is not None:
            self._drop(found)
        elif arn.count(":") < 6:
            raise invalid("SubscriptionId")

    # ---------------------------------------------------------------------- publishing

    def publish(self, topic: Topic, publication: Publication, *, trace_header: str = "") -> Published:
        """Give a message to every subscriber whose filter policy keeps it; returns before it is delivered.

        Raises SnsError: InvalidParameter, ParameterValueInvalid.
        """
        check_publication(publication)
        whole = topic.identify(publication)
        now_s = self._clock.time()
        if topic.is_fifo:
            accepted = topic.find_accepted(whole, now_s=now_s)
            if accepted is not None:
                return accepted
            published = topic.accept(whole, self._new_id(), now_s=now_s)
        else:
            published = Published(self._new_id())
        notification = Notification(
            message_id=published.message_id,
            topic_arn=topic.arn,
            publication=whole,
            published_s=now_s,
            endpoint=self.endpoint,
            sequence_number=published.sequence_number,
            signature_version=topic.signature_version,
            trace_header=trace_header,
        )
        for each in topic.subscriptions.values():
            if each.filter is None or each.filter.keep(whole.text_for(each.protocol), whole.attributes):
                self._deliveries.start(notification, each)
        return published

    # ---------------------------------------------------------------------- inside

    def _new_id(self) -> str:
        return new_uuid(self._rng)

    def _drop(self, subscription: Subscription) -> None:
        subscription.is_deleted = True
        self._subscriptions.pop(subscription.arn, None)
        topic = self._topics.get(subscription.topic_arn)
        if topic is not None and topic.subscriptions.pop(subscription.arn, None) is not None:
            topic.removed += 1

    def _check_room(self, *, is_fifo: bool) -> None:
        held = sum(topic.is_fifo is is_fifo for topic in self._topics.values())
        if held >= (MAX_FIFO_TOPICS if is_fifo else MAX_TOPICS):
            raise SnsError("TopicLimitExceeded", "The account has as many topics as it may have")

    def _check_filters(self, topic: Topic, made: Subscription | None) -> None:
        if made is not None and made.filter is None:
            return
        if sum(each.filter is not None for each in topic.subscriptions.values()) >= MAX_FILTER_POLICIES:
            raise SnsError("FilterPolicyLimitExceeded", "The topic has as many filter policies as it may have")


def _check_arn(name: str, arn: str) -> None:
    parts = arn.count(":") + 1
    if parts < 6:
        raise invalid(f"{name} Reason: An ARN must have at least 6 elements, not {parts}")


def _check_same(topic: Topic, attributes: Mapping[str, str], tags: Mapping[str, str]) -> None:
    has = topic.describe()
    if any(has.get(name, "") != value for name, value in attributes.items()):
        raise invalid("Attributes Reason: Topic already exists with different attributes")
    if any(topic.tags.get(key) != value for key, value in tags.items()):
        raise invalid("Tags Reason: Topic already exists with different tags")
