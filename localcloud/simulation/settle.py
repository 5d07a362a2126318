"""After the weather: the drain, the list of doubts, and one question for every key, first at home and then everywhere.

What a person with the shipped functions would do, and what the checker needs to know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from localcloud.simulation.clients import name_doubt
from localcloud.simulation.hosts import Host, Key
from localcloud.simulation.setting import EAST, REGIONS
from sluiceway.errors import SluicewayError
from sluiceway.region.doubts import drain, list_doubts, list_unfinished, note_unfinished
from sluiceway.rules.terms import Term

if TYPE_CHECKING:
    from localcloud.simulation.world import World

__all__ = ["settle"]

LASTS_S: Final = 30.0
NOW: Final = "done now: "


async def settle(world: World, keys: list[Key]) -> None:
    """Drain, list and ask."""
    hosts = {region: Host(world, region, is_calm=True) for region in REGIONS}
    home = EAST
    if world.setting.mode == "home":
        term = await hosts[EAST].tenure.read()
        home = term.region
        await _drain(world, hosts, term)
    elif world.setting.mode == "strong":
        await _list_unfinished(world, hosts[EAST])
    said = {key: await _ask(world, hosts[home], key) for key in keys}
    await world.links.drained()
    for region in REGIONS:
        for key in keys:
            if region != home or said[key].startswith(NOW):
                await _ask(world, hosts[region], key)


async def _drain(world: World, hosts: dict[str, Host], term: Term) -> None:
    home = hosts[term.region]
    for region in REGIONS:
        shelf = world.shelf(region)
        await note_unfinished(shelf, home.doubts, term=term, region=term.region, clock=home.clock)
    for region, host in hosts.items():
        await drain(host.doubts, region=region, home=host.home, clock=host.clock)
        async for doubt in list_doubts(host.doubts, region):
            key = world.names[doubt.key]
            if doubt.why == "parked":
                world.note("parked", region, key)
            if region == term.region and doubt.state == "open":
                world.note("listed", region, key, value=doubt.why)
    async for record in list_unfinished(world.shelf(term.region), home.clock.now_ms()):
        if record.owner.epoch == term.epoch:
            world.note("listed", term.region, world.names[record.key.partition("@")[0]], value="lapsed")


async def _list_unfinished(world: World, host: Host) -> None:
    async for record in list_unfinished(world.shelf(host.region), host.clock.now_ms()):
        world.note("listed", host.region, world.names[record.key], value="lapsed")


async def _ask(world: World, host: Host, key: Key) -> str:
    begun = world.begun
    try:
        value = await host.serve(key, LASTS_S)
    except SluicewayError as error:
        said = "in doubt" if name_doubt(error) else type(error).__name__
    else:
        said = f"{NOW}{value}" if world.begun > begun else value
    world.note("asked", host.region, key.id, value=said)
    return said
