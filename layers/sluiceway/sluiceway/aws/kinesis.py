"""Kinesis Data Streams as the wire client knows it: its address and protocol.

Source: the service model 2013-12-02.
"""

from __future__ import annotations

from typing import Final

from sluiceway.aws.endpoints import ServiceSpec

__all__ = ["KINESIS"]

KINESIS: Final = ServiceSpec("kinesis", "kinesis", "json-1.1", "KINESIS", target_prefix="Kinesis_20131202")
