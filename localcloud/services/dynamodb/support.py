"""What both kinds of table in a template say of their properties, for the ledger."""

from __future__ import annotations

from typing import Final

from localcloud.template.handler import Support, Supported

__all__ = ["NO_BACKUP", "NO_CIPHER", "NO_THROTTLE", "ONE_CLASS", "SERVED", "refused"]

SERVED: Final = Supported()
NO_THROTTLE: Final = Supported(Support.PARTIAL, "capacity is counted and shown, and nothing is ever throttled")
NO_BACKUP: Final = Supported(Support.PARTIAL, "no backups are kept here; `--persist` keeps the items between runs")
NO_CIPHER: Final = Supported(Support.PARTIAL, "items are not encrypted on this machine")
ONE_CLASS: Final = Supported(Support.PARTIAL, "storage classes differ in price alone, and nothing costs here")


def refused(what: str) -> Supported:
    """A property that is not here; `what` begins the sentence ("auto scaling is")."""
    return Supported(Support.REFUSED, f"{what} not served here")
