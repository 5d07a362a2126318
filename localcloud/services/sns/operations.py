"""The actions of SNS over the model: parameters in, result out.

Source: https://docs.aws.amazon.com/sns/latest/api/API_Operations.html
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from localcloud.services.pages import MalformedToken, cut_page
from localcloud.services.query_xml import Entries
from localcloud.services.sns.errors import SnsError, invalid
from localcloud.services.sns.message import MAX_MESSAGE_BYTES, check_attributes, message_size_bytes
from localcloud.services.sns.model import Subscription, Topic, Topics
from localcloud.services.sns.parameters import Parameters

__all__ = ["ACTIONS", "NOT_SERVED", "Call", "Result"]

Result: TypeAlias = dict[str, object]

MAX_BATCH: Final = 10  # API_PublishBatch
MAX_ENTRY_ID_CHARS: Final = 80  # API_PublishBatchRequestEntry
PAGE: Final = 100  # API_ListTopics, API_ListSubscriptions
NOT_SERVED: Final = (
    "CheckIfPhoneNumberIsOptedOut",
    "CreatePlatformApplication",
    "CreatePlatformEndpoint",
    "CreateSMSSandboxPhoneNumber",
    "DeleteEndpoint",
    "DeletePlatformApplication",
    "DeleteSMSSandboxPhoneNumber",
    "GetDataProtectionPolicy",
    "GetEndpointAttributes",
    "GetPlatformApplicationAttributes",
    "GetSMSAttributes",
    "GetSMSSandboxAccountStatus",
    "ListEndpointsByPlatformApplication",
    "ListOriginationNumbers",
    "ListPhoneNumbersOptedOut",
    "ListPlatformApplications",
    "ListSMSSandboxPhoneNumbers",
    "OptInPhoneNumber",
    "PutDataProtectionPolicy",
    "SetEndpointAttributes",
    "SetPlatformApplicationAttributes",
    "SetSMSAttributes",
    "VerifySMSSandboxPhoneNumber",
)
_ENTRY_ID: Final = re.compile(r"[A-Za-z0-9_-]+")
_TOKEN: Final = re.compile(r"[0-9a-f]{64,}")


@dataclass(frozen=True, slots=True)
class Call:
    """One action: what it works on, and who calls. `trace_header` is the request's X-Amzn-Trace-Id ("" for none)."""

    topics: Topics
    region: str
    parameters: Parameters
    principal: str = ""
    trace_header: str = ""

    def topic(self) -> Topic:
        """The topic of TopicArn. Raises SnsError: InvalidParameter, NotFound."""
        return self.topics.get(self.parameters.required("TopicArn"), self.region)

    def subscription(self) -> Subscription:
        """The subscription of SubscriptionArn. Raises SnsError: InvalidParameter, NotFound."""
        return self.topics.subscription(self.parameters.required("SubscriptionArn"), self.region)

    def tagged(self) -> Topic:
        """The topic of ResourceArn. Raises SnsError: InvalidParameter, ResourceNotFound."""
        return self.topics.tagged(self.parameters.required("ResourceArn"), self.region)


# ---------------------------------------------------------------------- topics


async def _create_topic(call: Call) -> Result:
    parameters = call.parameters
    if parameters.has("DataProtectionPolicy"):
        raise invalid("DataProtectionPolicy: data protection is not served by this local cloud")
    topic = call.topics.create(
        parameters.required("Name"),
        call.region,
        attributes=parameters.text_map("Attributes"),
        tags=parameters.tags(),
    )
    return {"TopicArn": topic.arn}


async def _delete_topic(call: Call) -> Result:
    call.topics.delete(call.parameters.required("TopicArn"), call.region)
    return {}


async def _list_topics(call: Call) -> Result:
    arns, token = _page(call, [topic.arn for topic in call.topics.list(call.region)])
    return {"Topics": [{"TopicArn": arn} for arn in arns], **token}


async def _get_topic_attributes(call: Call) -> Result:
    return {"Attributes": Entries(call.topic().describe())}


async def _set_topic_attributes(call: Call) -> Result:
    topic, parameters = call.topic(), call.parameters
    call.topics.configure(topic, {parameters.required("AttributeName"): parameters.text("AttributeValue")})
    return {}


async def _add_permission(call: Call) -> Result:
    topic, parameters = call.topic(), call.parameters
    accounts, actions = parameters.texts("AWSAccountId"), parameters.texts("ActionName")
    call.topics.add_permission(topic, parameters.required("Label"), accounts=accounts, actions=actions)
    return {}


async def _remove_permission(call: Call) -> Result:
    call.topics.remove_permission(call.topic(), call.parameters.required("Label"))
    return {}


async def _list_tags_for_resource(call: Call) -> Result:
    return {"Tags": [{"Key": key, "Value": value} for key, value in call.tagged().tags.items()]}


async def _tag_resource(call: Call) -> Result:
    topic, tags = call.tagged(), call.parameters.tags()
    if not tags:
        raise invalid("Tags Reason: no value for required parameter")
    call.topics.tag(topic, tags)
    return {}


async def _untag_resource(call: Call) -> Result:
    topic, keys = call.tagged(), call.parameters.texts("TagKeys")
    if not keys:
        raise invalid("TagKeys Reason: no value for required parameter")
    call.topics.untag(topic, keys)
    return {}


# ---------------------------------------------------------------------- subscriptions


async def _subscribe(call: Call) -> Result:
    topic, parameters = call.topic(), call.parameters
    made = call.topics.subscribe(
        topic,
        parameters.required("Protocol"),
        parameters.text("Endpoint"),
        attributes=parameters.text_map("Attributes"),
        principal=call.principal,
    )
    return {"SubscriptionArn": made.arn}


async def _confirm_subscription(call: Call) -> Result:
    """Every subscription here is confirmed when it is made, so no token that anybody could have is good."""
    call.parameters.required("TopicArn")
    token = call.parameters.required("Token")
    raise invalid("Token") if _TOKEN.fullmatch(token) else SnsError("InvalidParameter", "Invalid token")


async def _unsubscribe(call: Call) -> Result:
    call.topics.unsubscribe(call.parameters.required("SubscriptionArn"))
    return {}


async def _list_subscriptions(call: Call) -> Result:
    return _list(call, call.topics.subscriptions(call.region))


async def _list_subscriptions_by_topic(call: Call) -> Result:
    return _list(call, sorted(call.topic().subscriptions.values(), key=lambda each: each.arn))


async def _get_subscription_attributes(call: Call) -> Result:
    return {"Attributes": Entries(call.subscription().describe())}


async def _set_subscription_attributes(call: Call) -> Result:
    subscription, parameters = call.subscription(), call.parameters
    attributes = {parameters.required("AttributeName"): parameters.text("AttributeValue")}
    call.topics.configure_subscription(subscription, attributes)
    return {}


def _list(call: Call, subscriptions: list[Subscription]) -> Result:
    by_arn = {each.arn: each for each in subscriptions}
    arns, token = _page(call, list(by_arn))
    shown = ("Endpoint", "Owner", "Protocol", "SubscriptionArn", "TopicArn")
    described = [by_arn[arn].describe() for arn in arns]
    return {"Subscriptions": [{name: each[name] for name in shown} for each in described], **token}


def _page(call: Call, arns: list[str]) -> tuple[Sequence[str], Result]:
    """A page of sorted ARNs, and the token of the next."""
    try:
        page, token = cut_page(arns, str, token=call.parameters.text("NextToken"), most=PAGE)
    except MalformedToken as error:
        raise invalid("NextToken") from error
    return page, {"NextToken": token} if token else {}


# ---------------------------------------------------------------------- messages


async def _publish(call: Call) -> Result:
    parameters = call.parameters
    if parameters.has("PhoneNumber"):
        raise invalid("PhoneNumber Reason: text messages are not served by this local cloud")
    target = parameters.text("TargetArn")
    if ":endpoint/" in target:
        raise invalid("TargetArn Reason: No endpoint found for the target arn specified")
    if not parameters.has("TopicArn") and not parameters.has("TargetArn"):
        raise invalid("TopicArn or TargetArn Reason: no value for required parameter")
    topic = call.topics.get(parameters.text("TopicArn", target), call.region)
    published = call.topics.publish(topic, parameters.publication(), trace_header=call.trace_header)
    return _published(published.message_id, published.sequence_number)


def _published(message_id: str, sequence_number: str) -> Result:
    result: Result = {"MessageId": message_id}
    return result | ({"SequenceNumber": sequence_number} if sequence_number else {})


async def _publish_batch(call: Call) -> Result:
    topic, entries = call.topic(), _batch(call)
    publications = [entry.publication() for entry in entries]
    for publication in publications:  # AWS refuses the whole batch for these; other faults fail their entry alone
        check_attributes(publication.attributes)
        topic.check_ids_given(publication)
    if sum(map(message_size_bytes, publications)) > MAX_MESSAGE_BYTES:
        raise SnsError("BatchRequestTooLong", "The length of all the messages put together is more than the limit.")
    successful: list[Result] = []
    failed: list[Result] = []
    for entry, publication in zip(entries, publications, strict=True):
        entry_id = entry.text("Id")
        try:
            done = call.topics.publish(topic, publication, trace_header=call.trace_header)
        except SnsError as error:
            failed.append({"Id": entry_id, "Code": error.code, "Message": error.message, "SenderFault": True})
        else:
            successful.append({"Id": entry_id, **_published(done.message_id, done.sequence_number)})
    return {"Successful": successful, "Failed": failed}


def _batch(call: Call) -> list[Parameters]:
    """The entries of a batch, held against the rules that concern the whole."""
    entries = call.parameters.entries()
    if not entries:
        raise SnsError("EmptyBatchRequest", "The batch request doesn't contain any entries.")
    if len(entries) > MAX_BATCH:
        raise SnsError("TooManyEntriesInBatchRequest", "The batch request contains more entries than permissible.")
    ids = [entry.required("Id") for entry in entries]
    if len(set(ids)) < len(ids):
        raise SnsError("BatchEntryIdsNotDistinct", "Two or more batch entries in the request have the same Id.")
    for entry_id in ids:
        if len(entry_id) > MAX_ENTRY_ID_CHARS:
            words = "The Id of a batch entry in the batch request is too long"
            raise SnsError("InvalidBatchEntryId", f"{words}: {entry_id}")
        if not _ENTRY_ID.fullmatch(entry_id):
            words = "The Id of a batch entry in the batch request contains an impermissible character"
            raise SnsError("InvalidBatchEntryId", f"{words}: {entry_id}")
    return entries


ACTIONS: Final[Mapping[str, Callable[[Call], Awaitable[Result]]]] = {
    "AddPermission": _add_permission,
    "ConfirmSubscription": _confirm_subscription,
    "CreateTopic": _create_topic,
    "DeleteTopic": _delete_topic,
    "GetSubscriptionAttributes": _get_subscription_attributes,
    "GetTopicAttributes": _get_topic_attributes,
    "ListSubscriptions": _list_subscriptions,
    "ListSubscriptionsByTopic": _list_subscriptions_by_topic,
    "ListTagsForResource": _list_tags_for_resource,
    "ListTopics": _list_topics,
    "Publish": _publish,
    "PublishBatch": _publish_batch,
    "RemovePermission": _remove_permission,
    "SetSubscriptionAttributes": _set_subscription_attributes,
    "SetTopicAttributes": _set_topic_attributes,
    "Subscribe": _subscribe,
    "TagResource": _tag_resource,
    "Unsubscribe": _unsubscribe,
    "UntagResource": _untag_resource,
}
