"""How much EventBridge takes: the quotas that an account may have raised, as an option, and those that it may not.

Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["MAX_BATCH_BYTES", "MAX_POLICY_CHARS", "MAX_TAGS", "Limits"]

MAX_BATCH_BYTES: Final = 1_048_576
"""Of all entries of a PutEvents request together: 1 MB since January 2026, 256 KB before.

Source: https://aws.amazon.com/blogs/compute/more-room-to-build-serverless-services-now-support-payloads-up-to-1-mb
"""
MAX_POLICY_CHARS: Final = 10_240  # eb-quota: event bus policy size
MAX_TAGS: Final = 50  # Tag restrictions of the API reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Quotas of an account in a Region.

    The two of the backlog are ours: of deliveries under way, those that wait to be tried again too, before PutEvents is
    throttled. AWS throttles by requests a second. Ours, too: a replay waits while more than `replay_backlog` deliveries
    are under way; `archive_bytes` is what all archives keep together; `replays_kept` how many replays are remembered.
    """

    buses: int = 100
    rules: int = 300  # a bus; 100 in af-south-1 and eu-south-1
    targets: int = 5  # a rule
    pattern_chars: int = 2_048  # raised up to 4,096 on request
    wildcard_rules: int = 30  # a bus
    backlog: int = 100_000
    backlog_chars: int = 256 * 1024 * 1024
    replays: int = 10  # that are starting or running; eb-replay-archived-event
    replay_backlog: int = 10_000
    replays_kept: int = 1_000
    archive_bytes: int = 256 * 1024 * 1024
