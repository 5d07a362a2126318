"""AWS requests between Regions, as far as the links let them through, to whoever answers for the Region.

A request into a dark or cut-off Region gets no answer for as long as a caller is likely to wait; one whose answer
cannot come back was carried out all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Final

from localcloud.refusals import refuse
from localcloud.regions.forward import FROM_HEADER, Forwarder
from localcloud.regions.links import Links, Route
from localcloud.services.contract import NoAnswer, Permission, Service, WireRequest, WireResponse

__all__ = ["CALLS", "Linked", "ToRegions"]

CALLS: Final = "calls"  # the channel of AWS requests, beside those of global tables
SILENCE_S: Final = 60.0  # how long a caller is left without an answer, if it does not give up before


class Linked:
    """A service of the host's, reached by the links. What comes from no Region is a person's, who is cut from none.

    `home` is the Region that it is in, whatever a request names; "" for one that is in every Region.
    """

    def __init__(self, service: Service, links: Links, *, home: str = "") -> None:
        self.name = service.name
        self._service = service
        self._links = links
        self._home = home

    async def handle(self, request: WireRequest) -> WireResponse:
        """Its answer. Raises NoAnswer."""
        asked = replace(request, region=self._home) if self._home else request
        return await _carry(asked, self._service.handle, self._links)

    def permissions(self, request: WireRequest) -> tuple[Permission, ...]:
        """As the service says."""
        return self._service.permissions(request)


class ToRegions:
    """Every other service: the one of the Region that a request names. `addresses` are the Regions' AWS ports."""

    def __init__(
        self, forwarder: Forwarder, links: Links, *, addresses: Mapping[str, str], own: frozenset[str]
    ) -> None:
        self._forwarder = forwarder
        self._links = links
        self._addresses = addresses
        self._own = own

    def takes(self, request: WireRequest) -> bool:
        """Whether it is for a service that the host has not."""
        return request.service not in self._own

    async def handle(self, request: WireRequest) -> WireResponse:
        """Its answer from there. Raises NoAnswer."""
        address = self._addresses.get(request.region)
        if address is None:
            said = f"There is no cloud of {request.region} here; there are {', '.join(sorted(self._addresses))}."
            return refuse(request, 501, code="NotImplemented", message=said)
        return await _carry(request, lambda asked: self._forwarder.send(address, asked), self._links)


async def _carry(
    request: WireRequest, answer: Callable[[WireRequest], Awaitable[WireResponse]], links: Links
) -> WireResponse:
    source, target = request.headers.get(FROM_HEADER, ""), request.region
    if not await _passes(links, source, target):
        await _keep_silent(target)
    response = await answer(request)
    if not await _passes(links, target, source):
        await _keep_silent(target)
    return response


async def _passes(links: Links, source: str, target: str) -> bool:
    route = Route(source, target, CALLS)
    if source and target and source != target:
        return await links.cross(route)
    return not links.is_blocked(route)


async def _keep_silent(region: str) -> None:
    await asyncio.sleep(SILENCE_S)
    raise NoAnswer(f"{region} gave no answer")
