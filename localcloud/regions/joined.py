"""What the cloud of one Region has in place of what all Regions share: the way to the process that holds it.

That process, the host, has DynamoDB for all of them, Route 53, and the links. A request for another Region goes there
too, whatever its service, and gets no answer while that Region is dark.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from localcloud.regions.forward import Forwarder
from localcloud.services.contract import Permission, WireRequest, WireResponse

__all__ = ["Beyond", "SharedService"]


@dataclass(frozen=True, slots=True)
class Beyond:
    """Everything that is not of `region`; `host` is the host's address for AWS requests."""

    forwarder: Forwarder
    host: str
    region: str

    def takes(self, request: WireRequest) -> bool:
        """Whether it is for another Region."""
        return request.region != self.region

    async def handle(self, request: WireRequest) -> WireResponse:
        """Its answer from there. Raises NoAnswer."""
        return await self.forwarder.send(self.host, request)


class SharedService:
    """A service that all Regions share, as the front of one knows it: IAM is asked here, the answer is from there.

    `needs` is what IAM checks.
    """

    def __init__(self, name: str, needs: Callable[[WireRequest], tuple[Permission, ...]], beyond: Beyond) -> None:
        self.name = name
        self._needs = needs
        self._beyond = beyond

    async def handle(self, request: WireRequest) -> WireResponse:
        """Its answer from there. Raises NoAnswer."""
        return await self._beyond.handle(request)

    def permissions(self, request: WireRequest) -> tuple[Permission, ...]:
        """What IAM checks before it is passed on."""
        return self._needs(request)
