"""The actions of SQS over the model: parameters in, result out, both shaped as in the JSON protocol.

Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_Operations.html
"""

from __future__ import annotations

import base64
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from localcloud.services.contract import ACCOUNT_ID
from localcloud.services.sqs.attributes import readable_names
from localcloud.services.sqs.errors import SqsError, invalid_value, missing
from localcloud.services.sqs.fifo import check_batch
from localcloud.services.sqs.message import (
    MAX_MESSAGE_BYTES,
    AttributeValue,
    Content,
    Message,
    check_id,
    content_size_bytes,
    md5_of_attributes,
    md5_of_body,
)
from localcloud.services.sqs.model import Queue, Queues
from localcloud.services.sqs.parameters import Parameters

__all__ = ["ACTIONS", "Call", "Result", "queue_name"]

Result: TypeAlias = dict[str, object]

MAX_BATCH: Final = 10  # quotas-messages: entries of a batch, messages of a receive
MAX_LISTED: Final = 1_000  # ListQueues
_ENTRY_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,80}")
_SYSTEM_NAMES: Final = frozenset(
    (
        "All",
        "ApproximateFirstReceiveTimestamp",
        "ApproximateReceiveCount",
        "AWSTraceHeader",
        "DeadLetterQueueSourceArn",
        "MessageDeduplicationId",
        "MessageGroupId",
        "SenderId",
        "SentTimestamp",
        "SequenceNumber",
    )
)


@dataclass(frozen=True, slots=True)
class Call:
    """One action: what it works on, and who calls. `trace` is the request's X-Amzn-Trace-Id ("" for none)."""

    queues: Queues
    region: str
    parameters: Parameters
    trace: str = ""
    sender_id: str = ACCOUNT_ID

    def queue(self) -> Queue:
        """The queue of QueueUrl. Raises SqsError: MissingParameter, QueueDoesNotExist, InvalidAddress."""
        return self.queues.get(queue_name(self.parameters.required("QueueUrl")), self.region)


def queue_name(url: str) -> str:
    """The name in a queue URL, whatever its host; a bare name counts as well, as it does on AWS.

    Raises SqsError: InvalidAddress.
    """
    path = re.sub(r"^https?://[^/]*", "", url)
    found = re.fullmatch(r"(?:/?\d{12}/)?/?([A-Za-z0-9_.-]+)/?", path)
    if not found:
        raise SqsError("InvalidAddress", f"The address {url} is not valid for this endpoint.")
    return found[1]


# ---------------------------------------------------------------------- queues


async def _create_queue(call: Call) -> Result:
    parameters = call.parameters
    queue = call.queues.create(
        parameters.required("QueueName"),
        call.region,
        attributes=parameters.text_map("Attributes"),
        tags=parameters.text_map("tags") or parameters.text_map("Tags"),
    )
    return {"QueueUrl": call.queues.url_of(queue)}


async def _delete_queue(call: Call) -> Result:
    call.queues.delete(call.queue())
    return {}


async def _get_queue_url(call: Call) -> Result:
    name = call.parameters.required("QueueName")
    owner = call.parameters.text("QueueOwnerAWSAccountId", ACCOUNT_ID)
    if owner != ACCOUNT_ID:
        raise SqsError("QueueDoesNotExist", "The specified queue does not exist.")
    return {"QueueUrl": call.queues.url_of(call.queues.get(name, call.region))}


async def _list_queues(call: Call) -> Result:
    found = call.queues.list(call.region, prefix=call.parameters.text("QueueNamePrefix"))
    return _page(call, found, "QueueUrls")


async def _list_dead_letter_source_queues(call: Call) -> Result:
    found = _page(call, call.queues.sources(call.queue()), "queueUrls")
    return {"queueUrls": [], **found}


async def _get_queue_attributes(call: Call) -> Result:
    queue, names = call.queue(), call.parameters.texts("AttributeNames")
    for name in names:
        if name != "All" and name not in readable_names():
            raise SqsError("InvalidAttributeName", f"Unknown Attribute {name}.")
    found = call.queues.describe(queue)
    wanted = found.keys() if "All" in names else names
    picked = {name: found[name] for name in wanted if name in found}
    return {"Attributes": picked} if picked else {}


async def _set_queue_attributes(call: Call) -> Result:
    queue, attributes = call.queue(), call.parameters.text_map("Attributes")
    if not attributes:
        raise missing("Attribute.Name")
    call.queues.configure(queue, attributes)
    return {}


async def _purge_queue(call: Call) -> Result:
    call.queue().purge()
    return {}


async def _list_queue_tags(call: Call) -> Result:
    tags = call.queue().tags
    return {"Tags": dict(tags)} if tags else {}


async def _tag_queue(call: Call) -> Result:
    queue, tags = call.queue(), call.parameters.text_map("Tags")
    if not tags:
        raise missing("Tags")
    call.queues.tag(queue, tags)
    return {}


async def _untag_queue(call: Call) -> Result:
    queue, keys = call.queue(), call.parameters.texts("TagKeys")
    if not keys:
        raise invalid_value("Tag keys must be between 1 and 128 characters in length.")
    call.queues.untag(queue, keys)
    return {}


def _page(call: Call, queues: list[Queue], name: str) -> Result:
    """A page of queue URLs; the token is the name that the next page starts after."""
    size = call.parameters.number("MaxResults")
    if size is not None and not 1 <= size <= MAX_LISTED:
        raise invalid_value(
            "Value for parameter MaxResults is invalid. "
            f"Reason: MaxResults must be an integer between 1 and {MAX_LISTED}."
        )
    after = call.parameters.text("NextToken")
    left = [queue for queue in queues if queue.name > after]
    page = left[: size or MAX_LISTED]
    result: Result = {name: [call.queues.url_of(queue) for queue in page]} if page else {}
    if size is not None and len(left) > len(page):
        result["NextToken"] = page[-1].name
    return result


# ---------------------------------------------------------------------- messages


async def _send(call: Call, queue: Queue, entry: Parameters) -> Result:
    content = entry.content()
    if entry.has("MessageDeduplicationId") and not queue.is_fifo:
        raise invalid_value(
            f"Value {entry.text('MessageDeduplicationId')} for parameter MessageDeduplicationId is invalid. "
            "Reason: The request includes a parameter that is not valid for this queue type."
        )
    delay_s = entry.number("DelaySeconds")
    accepted = await queue.post(_traced(content, call.trace), delay_s=delay_s, sender_id=call.sender_id)
    result: Result = {"MessageId": accepted.message_id, "MD5OfMessageBody": md5_of_body(content.body)}
    if accepted.sequence:
        result["SequenceNumber"] = str(accepted.sequence)
    if content.attributes:
        result["MD5OfMessageAttributes"] = md5_of_attributes(content.attributes)
    if content.system:
        result["MD5OfMessageSystemAttributes"] = md5_of_attributes(content.system)
    return result


def _traced(content: Content, trace: str) -> Content:
    """A trace header on the HTTP request becomes the message's, unless the message has its own.

    Source: https://docs.aws.amazon.com/xray/latest/devguide/xray-services-sqs.html
    """
    if not trace or "AWSTraceHeader" in content.system:
        return content
    return replace(content, system={**content.system, "AWSTraceHeader": AttributeValue("String", trace)})


async def _send_message(call: Call) -> Result:
    queue = call.queue()
    call.queues.admit(queue, "SendMessage", [call.parameters.content()])
    return await _send(call, queue, call.parameters)


async def _send_message_batch(call: Call) -> Result:
    queue, entries = call.queue(), _batch(call, "Send")
    contents = [entry.content() for entry in entries]
    size = sum(map(content_size_bytes, contents))
    if size > MAX_MESSAGE_BYTES:
        raise SqsError(
            "BatchRequestTooLong",
            f"Batch requests cannot be longer than {MAX_MESSAGE_BYTES} bytes. You have sent {size} bytes.",
        )
    if queue.is_fifo:
        check_batch(contents, queue.attributes)
    call.queues.admit(queue, "SendMessage", contents)
    return await _each(call, entries, lambda entry: _send(call, queue, entry))


async def _receive_message(call: Call) -> Result:
    queue, parameters = call.queue(), call.parameters
    most = parameters.number("MaxNumberOfMessages")
    most = 1 if most is None else most
    if not 1 <= most <= MAX_BATCH:
        raise invalid_value(
            f"Value {most} for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided."
        )
    system = parameters.texts("MessageSystemAttributeNames") + parameters.texts("AttributeNames")
    for name in system:
        if name not in _SYSTEM_NAMES:
            raise SqsError("InvalidAttributeName", f"Unknown Attribute {name}.")
    call.queues.admit(queue, "ReceiveMessage")
    found = await queue.receive(
        most,
        wait_s=parameters.number("WaitTimeSeconds"),
        visibility_s=parameters.number("VisibilityTimeout"),
        attempt_id=_attempt_id(queue, parameters),
    )
    wanted = parameters.texts("MessageAttributeNames")
    return {"Messages": [_shown(message, system, wanted) for message in found]} if found else {}


def _attempt_id(queue: Queue, parameters: Parameters) -> str:
    attempt_id = parameters.text("ReceiveRequestAttemptId")
    if attempt_id and not queue.is_fifo:
        raise invalid_value(
            f"Value {attempt_id} for parameter ReceiveRequestAttemptId is invalid. "
            "Reason: The request include parameter that is not valid for this queue type."
        )
    check_id("ReceiveRequestAttemptId", attempt_id)
    return attempt_id


def _shown(message: Message, system: list[str], wanted: list[str]) -> Result:
    result: Result = {
        "MessageId": message.message_id,
        "ReceiptHandle": message.receipt_handle,
        "MD5OfBody": message.md5_of_body,
        "Body": message.body,
    }
    shown = {name: value for name, value in message.system.items() if name in system or "All" in system}
    if shown:
        result["Attributes"] = shown
    attributes = {name: value for name, value in message.message_attributes.items() if _is_wanted(name, wanted)}
    if attributes:
        result["MD5OfMessageAttributes"] = md5_of_attributes(attributes)
        result["MessageAttributes"] = {name: _attribute(value) for name, value in attributes.items()}
    return result


def _is_wanted(name: str, wanted: list[str]) -> bool:
    """`All` and `.*` are everything, `prefix.*` what starts with the prefix. Source: API_ReceiveMessage."""
    return any(
        pattern in ("All", ".*", name) or (pattern.endswith(".*") and name.startswith(pattern[:-2]))
        for pattern in wanted
    )


def _attribute(attribute: AttributeValue) -> Result:
    if isinstance(attribute.value, bytes):
        return {"BinaryValue": base64.b64encode(attribute.value).decode(), "DataType": attribute.data_type}
    return {"StringValue": attribute.value, "DataType": attribute.data_type}


async def _delete(queue: Queue, entry: Parameters) -> Result:
    await queue.delete(entry.required("ReceiptHandle"))
    return {}


async def _delete_message(call: Call) -> Result:
    queue = call.queue()
    call.queues.admit(queue, "DeleteMessage")
    return await _delete(queue, call.parameters)


async def _delete_message_batch(call: Call) -> Result:
    queue, entries = call.queue(), _batch(call, "Delete")
    call.queues.admit(queue, "DeleteMessage")
    return await _each(call, entries, lambda entry: _delete(queue, entry))


async def _change(queue: Queue, entry: Parameters) -> Result:
    handle, visibility_s = entry.required("ReceiptHandle"), entry.number("VisibilityTimeout")
    if visibility_s is None:
        raise missing("VisibilityTimeout")
    await queue.change_visibility(handle, visibility_s)
    return {}


async def _change_message_visibility(call: Call) -> Result:
    return await _change(call.queue(), call.parameters)


async def _change_message_visibility_batch(call: Call) -> Result:
    queue = call.queue()
    return await _each(call, _batch(call, "ChangeVisibility"), lambda entry: _change(queue, entry))


def _batch(call: Call, action: str) -> list[Parameters]:
    """The entries of a batch, held against the rules that concern the whole."""
    entries = call.parameters.entries()
    shape = "ChangeMessageVisibility" if action == "ChangeVisibility" else f"{action}Message"
    if not entries:
        raise SqsError("EmptyBatchRequest", f"There should be at least one {shape}BatchRequestEntry in the request.")
    if len(entries) > MAX_BATCH:
        raise SqsError(
            "TooManyEntriesInBatchRequest",
            f"Maximum number of entries per request are {MAX_BATCH}. You have sent {len(entries)}.",
        )
    ids = [entry.text("Id") if entry.has("Id") else entry.required("Id") for entry in entries]
    if not all(_ENTRY_ID.fullmatch(entry_id) for entry_id in ids):
        raise SqsError(
            "InvalidBatchEntryId",
            "A batch entry id can only contain alphanumeric characters, hyphens and underscores. "
            "It can be at most 80 letters long.",
        )
    for at, entry_id in enumerate(ids):
        if entry_id in ids[:at]:
            raise SqsError("BatchEntryIdsNotDistinct", f"Id {entry_id} repeated.")
    return entries


async def _each(call: Call, entries: list[Parameters], act: Callable[[Parameters], Awaitable[Result]]) -> Result:
    successful: list[Result] = []
    failed: list[Result] = []
    with call.queues.together():  # sends, deletes and changes of visibility never wait
        for entry in entries:
            entry_id = entry.text("Id")
            try:
                successful.append({"Id": entry_id, **await act(entry)})
            except SqsError as error:
                failed.append({"Id": entry_id, "SenderFault": True, "Code": error.query_code, "Message": error.message})
    return {"Successful": successful, "Failed": failed}


ACTIONS: Final[Mapping[str, Callable[[Call], Awaitable[Result]]]] = {
    "ChangeMessageVisibility": _change_message_visibility,
    "ChangeMessageVisibilityBatch": _change_message_visibility_batch,
    "CreateQueue": _create_queue,
    "DeleteMessage": _delete_message,
    "DeleteMessageBatch": _delete_message_batch,
    "DeleteQueue": _delete_queue,
    "GetQueueAttributes": _get_queue_attributes,
    "GetQueueUrl": _get_queue_url,
    "ListDeadLetterSourceQueues": _list_dead_letter_source_queues,
    "ListQueueTags": _list_queue_tags,
    "ListQueues": _list_queues,
    "PurgeQueue": _purge_queue,
    "ReceiveMessage": _receive_message,
    "SendMessage": _send_message,
    "SendMessageBatch": _send_message_batch,
    "SetQueueAttributes": _set_queue_attributes,
    "TagQueue": _tag_queue,
    "UntagQueue": _untag_queue,
}
