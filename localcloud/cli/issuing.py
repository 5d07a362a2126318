"""`sluiceway issuer`: the local identity provider. Its keys, a rotation, and an outage to see what comes of it."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any, cast

from localcloud.caller import Unreachable, fetch
from localcloud.issuer import ISSUER_PATH
from localcloud.state import read_state

__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """0 done; 1 where nobody answers, or with an error. Raises NotRunning."""
    state = read_state(options.state)
    shows = options.action == "show"
    address = state.endpoints["aws"] + ISSUER_PATH + ("" if shows else f"/{options.action}")
    try:
        answer = fetch(address, method="GET" if shows else "POST", headers={}, body=b"")
    except Unreachable as error:
        sys.stderr.write(f"sluiceway: {error}\n")
        return 1
    told = cast("dict[str, Any]", json.loads(answer.body))
    if "error" in told:
        sys.stderr.write(f"sluiceway: {told['error']}\n")
        return 1
    sys.stdout.write(json.dumps(told, indent=1) + "\n" if options.as_json else _describe(told))
    return 0


def _describe(told: dict[str, Any]) -> str:
    away = {"": "answers", "down": "is down (503)", "hang": "gives no answer"}[told["away"]]
    keys = [f"key     {key['kid']}{'  signs' if key['signs'] else ''}" for key in told["keys"]]
    return "\n".join([f"issuer  {told['issuer']}, {away}", *keys]) + "\n"
