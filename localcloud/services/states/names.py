"""The names and ARNs of machines, executions and runs of Maps. Pure but for the randomness that it is given."""

from __future__ import annotations

import random
import re
from typing import Final

from localcloud.services.contract import ACCOUNT_ID
from localcloud.services.states.errors import invalid_name
from localcloud.services.states.execution import EXPRESS
from localcloud.services.states.flow import Revision
from localcloud.uuids import new_uuid

__all__ = ["check_name", "execution_arn", "machine_arn", "map_run_arn"]

# CreateStateMachine: no white space, brackets, wildcards, special or control characters
_NAME: Final = re.compile(r"[^\s<>{}\[\]?*\"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f\ufffe\uffff\ud800-\udfff]{1,80}")


def check_name(name: str) -> None:
    """Hold a name of a machine or an execution against the rules. Raises StatesError InvalidName."""
    if _NAME.fullmatch(name) is None:
        raise invalid_name(name)


def machine_arn(name: str, region: str) -> str:
    """The ARN of a machine."""
    return f"arn:aws:states:{region}:{ACCOUNT_ID}:stateMachine:{name}"


def execution_arn(revision: Revision, name: str, rng: random.Random) -> str:
    """The ARN of an execution; of an Express one none is like another."""
    label = f"/{revision.label}" if revision.label else ""
    start = f"arn:aws:states:{revision.region}:{ACCOUNT_ID}"
    if revision.kind == EXPRESS:
        return f"{start}:express:{revision.name}{label}:{name}:{new_uuid(rng)}"
    return f"{start}:execution:{revision.name}{label}:{name}"


def map_run_arn(revision: Revision, label: str, rng: random.Random) -> str:
    """The ARN of a new run of a Map."""
    return f"arn:aws:states:{revision.region}:{ACCOUNT_ID}:mapRun:{revision.name}/{label}:{new_uuid(rng)}"
