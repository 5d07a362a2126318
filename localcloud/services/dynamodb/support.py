"""What both kinds of table in a template say of their properties, for the ledger."""

from __future__ import annotations

from typing import Final

from localcloud.template.handler import Support, Supported

__all__ = ["NO_BACKUP", "NO_CIPHER", "NO_MAXIMUM", "NO_WARMTH", "ONE_CLASS", "SERVED", "THROTTLE", "refused"]

SERVED: Final = Supported()
THROTTLE: Final = Supported(
    Support.PARTIAL,
    "enforced where the table's `Metadata.Sluiceway.Throttle` is true; otherwise capacity is counted and shown alone",
)
NO_MAXIMUM: Final = Supported(Support.PARTIAL, "a maximum of on-demand capacity is not enforced here")
NO_WARMTH: Final = Supported(Support.PARTIAL, "AWS scales faster with it, and nothing is scaled here")
NO_BACKUP: Final = Supported(Support.PARTIAL, "no backups are kept here; `--persist` keeps the items between runs")
NO_CIPHER: Final = Supported(Support.PARTIAL, "items are not encrypted on this machine")
ONE_CLASS: Final = Supported(Support.PARTIAL, "storage classes differ in price alone, and nothing costs here")


def refused(what: str) -> Supported:
    """A property that is not here; `what` begins the sentence ("auto scaling is")."""
    return Supported(Support.REFUSED, f"{what} not served here")
