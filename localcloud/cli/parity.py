"""`sluiceway regions parity`: what two Regions of a pair do not have alike, in AWS or in the local cloud."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localcloud.regions.parity import Facts, Parity, compare
from localcloud.regions.parity_reading import read_facts
from localcloud.regions.switching import LOCAL_KEYS
from localcloud.state import read_state
from sluiceway import settings
from sluiceway.aws.sdk import Sdk
from sluiceway.errors import Misconfigured

__all__ = ["run"]


class _Region:
    """Clients of one Region."""

    def __init__(self, sdk: Sdk, options: Mapping[str, str]) -> None:
        self._sdk = sdk
        self._options = dict(options)

    async def client(self, service: str) -> Any:
        """As `Clients.client`."""
        return await self._sdk.client(service, **self._options)


def run(options: argparse.Namespace) -> int:
    """0 where what was compared is alike; 1 where it is not, or nothing could be; 2 called or set wrongly.

    Raises NotRunning.
    """
    try:
        with asyncio.Runner() as runner:
            parity = runner.run(_read(_regions(options), options.stack))
    except Misconfigured as error:
        sys.stderr.write(f"sluiceway: {error}\n")
        return 2
    told = json.dumps(parity.to_json(), indent=1) + "\n" if options.as_json else _describe(parity)
    sys.stdout.write(told)
    return 0 if parity.holds else 1


def _regions(options: argparse.Namespace) -> dict[str, Mapping[str, str]]:
    """Options of a client, by Region. Raises Misconfigured, NotRunning."""
    found: dict[str, Mapping[str, str]] = {}
    if options.local:
        folders = read_state(options.state).regions
        found |= {name: _local(name, read_state(Path(folder)).endpoints["aws"]) for name, folder in folders.items()}
    else:
        named = getattr(options, "regions", None) or settings.text("REGIONS", default=",")
        found |= {name.strip(): {"region_name": name.strip()} for name in named.split(",") if name.strip()}
    if len(found) < 2:
        raise Misconfigured("name both Regions: --regions A,B", what="--regions")
    return found


def _local(region: str, endpoint: str) -> Mapping[str, str]:
    key, secret = LOCAL_KEYS["AWS_ACCESS_KEY_ID"], LOCAL_KEYS["AWS_SECRET_ACCESS_KEY"]
    keys = {"aws_access_key_id": key, "aws_secret_access_key": secret}
    return {"region_name": region, "endpoint_url": endpoint, **keys}


async def _read(regions: Mapping[str, Mapping[str, str]], stack: str) -> Parity:
    facts: dict[str, Facts] = {}
    async with Sdk.open() as sdk:
        for region, options in regions.items():
            facts[region] = await read_facts(_Region(sdk, options), stack)
    return compare(facts)


def _describe(parity: Parity) -> str:
    lines: list[str] = []
    for difference in parity.differences:
        lines.append(difference.name)
        lines += [
            f"  {region:<15} {'(not there)' if value is None else value}" for region, value in difference.values.items()
        ]
    for part, why in parity.unread.items():
        lines.append(f"not compared: {part} ({', '.join(f'{region}: {reason}' for region, reason in why.items())})")
    lines.append(f"{parity.alike} alike, {len(parity.differences)} not")
    return "\n".join(lines) + "\n"
