"""The X-Ray trace header of an invocation: the caller's, completed, or a new one. Pure.

Source: https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
"""

from __future__ import annotations

import random

from localcloud.clock import Clock

__all__ = ["complete_trace_header"]


def complete_trace_header(given: str, *, sampled: bool, clock: Clock, rng: random.Random) -> str:
    """`Root=...;Parent=...;Sampled=0|1`: what `given` lacks is made; `sampled` where the caller did not decide."""
    fields = dict(part.strip().split("=", 1) for part in given.split(";") if "=" in part)
    fields.setdefault("Root", f"1-{int(clock.time()):08x}-{rng.getrandbits(96):024x}")
    fields.setdefault("Parent", f"{rng.getrandbits(64):016x}")
    if fields.get("Sampled") not in {"0", "1"}:
        fields["Sampled"] = "1" if sampled else "0"
    order = ["Root", "Parent", "Sampled", *sorted(set(fields) - {"Root", "Parent", "Sampled", "Self"})]
    return ";".join(f"{name}={fields[name]}" for name in order)
