"""SNS topics: many messages in one request.

Owns the form and the XML of PublishBatch: SNS speaks the query protocol alone. Must not know what a message means.
Source: https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from sluiceway.aws.batch_entries import Entry, Failures, refuse_entry
from sluiceway.aws.endpoints import ServiceSpec
from sluiceway.aws.sigv4 import encode_query
from sluiceway.aws.wire import Caller
from sluiceway.errors import ServiceError

__all__ = ["SNS", "publish_batch"]

SNS: Final = ServiceSpec(endpoint_prefix="sns", signing_name="sns", protocol="rest", env_name="SNS")
VERSION: Final = "2010-03-31"  # the service model's
_FORM: Final[Mapping[str, str]] = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
_FAILED: Final = r"<Failed>(.*?)</Failed>"
_MEMBER: Final = r"<member>(.*?)</member>"
_FIELD: Final = r"<(Id|Code|Message|SenderFault)>([^<]*)</\1>"
_ENTITY: Final = r"&(lt|gt|amp|quot|apos);"
_ENTITIES: Final[Mapping[str, str]] = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}


async def publish_batch(
    caller: Caller, topic_arn: str, entries: Sequence[Entry], *, deadline: float | None = None
) -> Failures:
    """Publish up to 10 messages, 262,144 bytes together; those that the topic did not take.

    Raises what `Caller.call` raises, and then nobody knows of any. A retry whose first answer was lost publishes them
    twice to a standard topic.
    """
    fields = [("Action", "PublishBatch"), ("Version", VERSION), ("TopicArn", topic_arn)]
    for at, entry in enumerate(entries):
        fields += _write(at, entry)
    body = encode_query(fields).encode()
    reply = await caller.call(SNS, "PublishBatch", body, headers=_FORM, deadline=deadline)
    return {int(failed["Id"]): _refuse(failed) for failed in _read_failed(reply.body.decode(errors="replace"))}


def _write(at: int, entry: Entry) -> Iterator[tuple[str, str]]:
    place = f"PublishBatchRequestEntries.member.{at + 1}"
    yield f"{place}.Id", str(at)
    yield f"{place}.Message", entry.body
    if entry.group:
        yield f"{place}.MessageGroupId", entry.group
    if entry.dedup_id:
        yield f"{place}.MessageDeduplicationId", entry.dedup_id
    for number, (name, value) in enumerate(entry.attributes.items(), 1):
        attribute = f"{place}.MessageAttributes.entry.{number}"
        yield f"{attribute}.Name", name
        yield f"{attribute}.Value.DataType", "String"
        yield f"{attribute}.Value.StringValue", value


def _read_failed(document: str) -> Iterator[Mapping[str, str]]:
    failed = re.search(_FAILED, document, flags=re.DOTALL)
    for member in re.findall(_MEMBER, failed[1], flags=re.DOTALL) if failed else ():
        fields = {name: re.sub(_ENTITY, _unescape, text) for name, text in re.findall(_FIELD, member)}
        if fields.get("Id", "").isdigit():
            yield fields


def _unescape(entity: re.Match[str]) -> str:
    return _ENTITIES[entity[1]]


def _refuse(failed: Mapping[str, str]) -> ServiceError:
    return refuse_entry(
        service="sns",
        operation="PublishBatch",
        code=failed.get("Code", ""),
        message=failed.get("Message", ""),
        is_senders_fault=failed.get("SenderFault") != "false",
    )
