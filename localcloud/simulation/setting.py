"""What a run is of. A seed and a setting decide everything that happens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["EAST", "EPOCH_MS", "FENCED", "GROUP", "MODES", "REGIONS", "WEST", "WITNESS", "Mode", "Setting"]

EAST: Final = "us-east-1"
WEST: Final = "us-west-2"
WITNESS: Final = "us-east-2"  # where terms are kept, and the third vote of a strongly consistent table
REGIONS: Final = (EAST, WEST)
GROUP: Final = "shop"
EPOCH_MS: Final = 1_800_000_000_000

Mode = Literal["naive", "home", "strong"]
MODES: Final[tuple[Mode, ...]] = ("naive", "home", "strong")
FENCED: Final[tuple[Mode, ...]] = ("home", "strong")


@dataclass(frozen=True, slots=True)
class Setting:
    """`keys` come within `span_s`, each Region has `hosts` environments. All times are seconds.

    `skew_s` is by how much the guards and terms think that two clocks differ at most, `off_s` by how much they do.
    `lease_s` is a guard's, `term_lease_s` a term's; `overrun_s`: for how long after it environments go on believing it.

    `repeated`, `chosen`, `stragglers`: which share of keys is sent again, made by the client, sent by clients that keep
    an old DNS answer. `trouble`, `late`, `slow`: which share of requests fails (half of them after they were done), is
    done a second time up to `late_s` later, takes seconds (up to `slow_most_s`). `fails`, `killed`: which share of the
    work raises an error before its effect, and of deliveries ends an environment.

    `weather`: how the links break, "" for what the seed says, and `outage_s` for how long (0: as the seed says).
    `decides_s`: when after that a person fails over (0: as the seed says, which may be never). `lag_s`: how long
    replication takes, by median.
    """

    mode: Mode = "home"
    keys: int = 20
    hosts: int = 2
    span_s: float = 60.0
    skew_s: float = 2.0
    off_s: float = 2.0
    lease_s: float = 4.0
    term_lease_s: float = 12.0
    overrun_s: float = 0.0
    repeated: float = 0.3
    chosen: float = 0.25
    stragglers: float = 0.15
    trouble: float = 0.05
    late: float = 0.04
    late_s: float = 60.0
    slow: float = 0.03
    slow_most_s: float = 8.0
    fails: float = 0.06
    killed: float = 0.07
    weather: str = ""
    outage_s: float = 0.0
    decides_s: float = 0.0
    lag_s: float = 0.5
