"""How S3 tells of a change: the record for queues, topics and functions, and the event for the default bus. Pure.

Sources: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html and
https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote_plus

from localcloud.services.contract import ACCOUNT_ID
from localcloud.services.s3.object_changes import Change

__all__ = ["OWNER_ID", "Occasion", "bus_event", "make_record", "test_event"]

OWNER_ID: Final = "A3NL1KOZZKEXAMPLE"  # the account's customer id: AWS gives each account one that means nothing
HOST_ID: Final = "FMyUVURIY8/IgAtTv8xRjskZQpcIZ9KG4V5Wp6S7S/JRWeUWerMUE5JgHvANOjpD"  # x-amz-id-2: there is one host
ADDRESS: Final = "127.0.0.1"  # every caller is on this machine
VERSION: Final = "2.1"
LATER_VERSION: Final = "2.3"  # of tags and access control lists
_REASONS: Final[Mapping[str, str]] = {
    "CompleteMultipartUpload": "CompleteMultipartUpload",
    "Copy": "CopyObject",
    "Post": "PostObject",
    "Put": "PutObject",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """One change in a bucket. `principal_id`: who made it; `sequencer`: hexadecimal, later ones are greater.

    `requester`: the account of whom, or the service.
    """

    change: Change
    bucket: str
    region: str
    time_s: float
    request_id: str
    principal_id: str
    sequencer: str

    @property
    def group(self) -> str:
        """What kind of event it is (`ObjectCreated`)."""
        return self.change.event.split(":")[1]


def make_record(occasion: Occasion, rule_id: str) -> str:
    """The message for a rule's destination: JSON with one record."""
    change = occasion.change
    later = occasion.group in {"ObjectAcl", "ObjectTagging"}
    shown: dict[str, Any] = {"key": quote_plus(change.key, safe="/")}
    if change.size is not None and not later:
        shown["size"] = change.size
    if change.etag:
        shown["eTag"] = change.etag
    if change.version_id:
        shown["versionId"] = change.version_id
    if not later:
        shown["sequencer"] = occasion.sequencer
    record = {
        "eventVersion": LATER_VERSION if later else VERSION,
        "eventSource": "aws:s3",
        "awsRegion": occasion.region,
        "eventTime": _milliseconds(occasion.time_s),
        "eventName": change.event.removeprefix("s3:"),
        "userIdentity": {"principalId": occasion.principal_id},
        "requestParameters": {"sourceIPAddress": ADDRESS},
        "responseElements": {"x-amz-request-id": occasion.request_id, "x-amz-id-2": HOST_ID},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": rule_id,
            "bucket": {
                "name": occasion.bucket,
                "ownerIdentity": {"principalId": OWNER_ID},
                "arn": f"arn:aws:s3:::{occasion.bucket}",
            },
            "object": shown,
        },
    }
    return _write({"Records": [record]})


def bus_event(occasion: Occasion) -> tuple[str, str]:
    """The detail-type and the detail of an event on the default bus."""
    change, action = occasion.change, occasion.change.event.split(":")[2]
    shown: dict[str, Any] = {"key": change.key}
    if occasion.group == "ObjectCreated" and change.size is not None:
        shown["size"] = change.size
    if change.etag:
        shown["etag"] = change.etag
    if change.version_id:
        shown["version-id"] = change.version_id
    if occasion.group in {"ObjectCreated", "ObjectRemoved"}:
        shown["sequencer"] = occasion.sequencer
    detail: dict[str, Any] = {
        "version": "0",
        "bucket": {"name": occasion.bucket},
        "object": shown,
        "request-id": occasion.request_id,
        "requester": ACCOUNT_ID,
        "source-ip-address": ADDRESS,
    }
    if occasion.group == "ObjectCreated":
        return "Object Created", _write({**detail, "reason": _REASONS[action]})
    if occasion.group == "ObjectRemoved":
        deletion = "Permanently Deleted" if action == "Delete" else "Delete Marker Created"
        return "Object Deleted", _write({**detail, "reason": "DeleteObject", "deletion-type": deletion})
    if occasion.group == "ObjectTagging":
        return ("Object Tags Added" if action == "Put" else "Object Tags Deleted"), _write(detail)
    return "Object ACL Updated", _write(detail)


def test_event(bucket: str, *, request_id: str, time_s: float) -> str:
    """What a queue or topic is sent when a bucket is told to tell it."""
    told = {
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": _milliseconds(time_s),
        "Bucket": bucket,
        "RequestId": request_id,
        "HostId": HOST_ID,
    }
    return _write(told)


def _milliseconds(time_s: float) -> str:
    text = datetime.fromtimestamp(time_s, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _write(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
