"""What can be done to an invocation, to a call of an AWS API, and to a Region: values alone, nothing is done here.

Times are seconds. A fault's `name` is the word for it in plans and reports.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import ClassVar, Final, Literal, TypeAlias

__all__ = [
    "MAX_DELAY_S",
    "CallDelay",
    "CallDrop",
    "CallError",
    "CallFault",
    "CallHang",
    "CallThrottle",
    "Change",
    "Delay",
    "Drop",
    "Duplicate",
    "Fail",
    "Fault",
    "FunctionFault",
    "Kill",
    "Late",
    "RegionFault",
    "RegionKill",
    "RegionPartition",
    "RegionPause",
    "RegionSkew",
    "Spread",
]

MAX_DELAY_S: Final = 900.0  # Lambda's longest timeout: a longer delay is no different


@dataclass(frozen=True, slots=True)
class Spread:
    """How long something takes: `least_s` to `most_s` evenly, or log-normal about `median_s` where `spread` says so.

    `spread` is the standard deviation of the logarithm; a log-normal time is cut off at `most_s`.
    """

    least_s: float = 0.0
    most_s: float = MAX_DELAY_S
    median_s: float = 0.0
    spread: float = 0.0

    def draw(self, rng: Random) -> float:
        """Seconds, from one draw of `rng`; a fixed time draws as well, so that what follows is the same."""
        if self.median_s:
            return min(self.most_s, self.median_s * math.exp(rng.gauss(0.0, self.spread)))
        return rng.uniform(self.least_s, self.most_s)


@dataclass(frozen=True, slots=True)
class Delay:
    """The event is handed over late."""

    name: ClassVar[str] = "function.latency"
    delay: Spread


@dataclass(frozen=True, slots=True)
class Fail:
    """The event never reaches the handler; an error of `error_type` is posted in its place."""

    name: ClassVar[str] = "function.error"
    error_type: str = "ChaosError"
    message: str = "This error was asked for by a chaos plan."


@dataclass(frozen=True, slots=True)
class Drop:
    """The handler's answer never reaches Lambda; the runtime is told that it did."""

    name: ClassVar[str] = "function.drop-response"


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The event is handed over twice with the same request id; the second answer is the one that counts."""

    name: ClassVar[str] = "function.duplicate"


@dataclass(frozen=True, slots=True)
class Late:
    """The handler's answer is passed on `late_s` after the invocation's deadline."""

    name: ClassVar[str] = "function.late-response"
    late_s: float = 0.5


@dataclass(frozen=True, slots=True)
class Change:
    """The answer to an HTTP event gets another status code, and another body where `body` is not None."""

    name: ClassVar[str] = "function.change-response"
    status: int
    body: str | None = None


@dataclass(frozen=True, slots=True)
class Kill:
    """The process is killed: before the handler sees the event, `after_s` into its work, or when it has answered.

    "after" is the nasty one: the work is done, and the answer is lost.
    """

    name: ClassVar[str] = "function.kill"
    when: Literal["before", "during", "after"] = "during"
    after_s: float = 0.1


@dataclass(frozen=True, slots=True)
class CallThrottle:
    """The service's own throttling error."""

    name: ClassVar[str] = "call.throttle"


@dataclass(frozen=True, slots=True)
class CallError:
    """The service's own error of `status`."""

    name: ClassVar[str] = "call.error"
    status: Literal[500, 503] = 500


@dataclass(frozen=True, slots=True)
class CallDelay:
    """The call is carried out late."""

    name: ClassVar[str] = "call.latency"
    delay: Spread


@dataclass(frozen=True, slots=True)
class CallDrop:
    """The connection is dropped, before or after the call was carried out."""

    name: ClassVar[str] = "call.drop"
    when: Literal["before", "after"] = "before"


@dataclass(frozen=True, slots=True)
class CallHang:
    """Nothing comes back, and nothing is carried out, until the step ends; then the connection is dropped."""

    name: ClassVar[str] = "call.hang"


@dataclass(frozen=True, slots=True)
class RegionKill:
    """The Region goes dark."""

    name: ClassVar[str] = "region.kill"
    region: str


@dataclass(frozen=True, slots=True)
class RegionPartition:
    """Nothing passes from `source` to `target`; the other way neither where it is `both`."""

    name: ClassVar[str] = "region.partition"
    source: str
    target: str
    both: bool = True


@dataclass(frozen=True, slots=True)
class RegionPause:
    """A global table's changes neither leave nor enter `region`."""

    name: ClassVar[str] = "region.pause-replication"
    table: str
    region: str


@dataclass(frozen=True, slots=True)
class RegionSkew:
    """The services of a Region's cloud stamp with a clock that is `by_s` ahead; `region` "" is the only one."""

    name: ClassVar[str] = "region.skew"
    region: str
    by_s: float


FunctionFault: TypeAlias = Delay | Fail | Drop | Duplicate | Late | Change | Kill
CallFault: TypeAlias = CallThrottle | CallError | CallDelay | CallDrop | CallHang
RegionFault: TypeAlias = RegionKill | RegionPartition | RegionPause | RegionSkew
Fault: TypeAlias = FunctionFault | CallFault | RegionFault
