"""Chaos in the host of several Regions, put together: what it asks of the links, of DynamoDB and of the Regions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from localcloud.chaos.control import ChaosControl
from localcloud.chaos.pair import PairChaos
from localcloud.regions.control import Control
from localcloud.services.dynamodb.replication import channel_of
from localcloud.services.dynamodb.wire import DynamoService

__all__ = ["host_chaos"]


def host_chaos(addresses: Mapping[str, str], dynamodb: DynamoService, control: Control) -> ChaosControl:
    """The host's control of chaos, by which `control` kills Regions. `addresses` are filled as Regions start."""

    def tables() -> list[str]:
        counts = Counter(name for region in addresses for name in dynamodb.database(region).names())
        return [name for name, count in counts.items() if count > 1]

    chaos = PairChaos(addresses, dynamodb.links, control, tables=tables, channel=channel_of)
    return ChaosControl(chaos)
