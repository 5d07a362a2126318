"""`sluiceway regions kill|recover|cut|heal|status`: what becomes of the Regions of a local cloud, asked of its host."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any, Final, cast

from localcloud.caller import Unreachable, fetch
from localcloud.state import read_state

__all__ = ["run"]

_OWN: Final = "/_sluiceway"


def run(options: argparse.Namespace) -> int:
    """0 done; 1 refused or no answer; 2 where the cloud that runs has one Region. Raises NotRunning."""
    state = read_state(options.state)
    if not state.regions:
        sys.stderr.write(
            "sluiceway: this local cloud has one Region; start several with `sluiceway up --regions A,B`\n"
        )
        return 2
    try:
        status, told = _ask(state.endpoints["aws"], options)
    except Unreachable as error:
        sys.stderr.write(f"sluiceway: {error}\n")
        return 1
    if "error" in told:
        sys.stderr.write(f"sluiceway: {told['error']}\n")
        return 1 if status >= 500 or status == 409 else 2
    sys.stdout.write(json.dumps(told, indent=1) + "\n" if options.as_json else _describe(told))
    return 0


def _ask(host: str, options: argparse.Namespace) -> tuple[int, Mapping[str, Any]]:
    path, body, method = f"{_OWN}/regions", b"", "GET"
    if options.action in {"kill", "recover"}:
        path, method = f"{path}/{options.region}/{options.action}", "POST"
    elif options.action in {"cut", "heal"}:
        asked = {"source": options.source, "target": options.target, "cut": options.action == "cut"}
        path, method = f"{_OWN}/links", "POST"
        body = json.dumps({**asked, "both": not options.one_way}).encode()
    answer = fetch(host + path, method=method, headers={"content-type": "application/json"}, body=body)
    return answer.status, cast("Mapping[str, Any]", json.loads(answer.body))


def _describe(told: Mapping[str, Any]) -> str:
    regions = cast("list[dict[str, Any]]", told["regions"])
    width = max(len(each["region"]) for each in regions)
    lines = [f"{each['region']:<{width}}  {_state_of(each)}" for each in regions]
    lines += [f"cut       {source} to {target}" for source, target in told["cuts"]]
    lines += [
        f"under way {each['source']} to {each['target']}: {each['pending']}, the oldest for {each['oldest_s']:.1f} s"
        for each in told["lags"]
        if each["pending"]
    ]
    return "\n".join(lines) + "\n"


def _state_of(region: Mapping[str, Any]) -> str:
    if region.get("ended"):
        return "ended: its process has died; `sluiceway down`, then start anew"
    return "dark" if region["dark"] else "up"
