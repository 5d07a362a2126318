"""A notification of an SNS topic: delivered to a function, or in the body of an SQS message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["SnsNotification"]


class SnsNotification(NamedTuple):
    """One notification. `attributes` are its String/Number message attributes; binary ones are left out.

    With raw delivery nobody says which topic it was: `message_id` is the queue message's, `topic_arn` and `subject`
    are "". `sent_at` is the topic's Timestamp in ISO 8601 ("" with raw delivery).
    """

    message: str
    attributes: Mapping[str, str]
    message_id: str
    topic_arn: str = ""
    subject: str = ""
    sent_at: str = ""
