"""What alarms watch, and what they invoke."""

from __future__ import annotations

import json
import time
from typing import Any


def measure(event: dict[str, Any], context: object) -> None:
    """One value in high resolution, in the embedded metric format."""
    directive = {
        "Namespace": "Kiln",
        "Dimensions": [["kiln"]],
        "Metrics": [{"Name": "Heat", "Unit": "None", "StorageResolution": 1}],
    }
    about = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]}
    print(json.dumps({"_aws": about, "kiln": "k1", "Heat": event["heat"]}), flush=True)


def act(event: dict[str, Any], context: object) -> None:
    """Print what came."""
    print("acted " + json.dumps(event), flush=True)
