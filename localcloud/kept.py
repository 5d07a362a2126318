"""What one local cloud leaves to the next in the same process: everything that is slow to make and holds no state.

Sockets, the template as it was read, the interpreters that were found, the language model, the folder of `--persist`,
and the process that clears away what this one would leave behind.
A cloud is opened around it and closed, as often as it is reset; what is not here is made anew each time, so a service
cannot be left out of a reset. Knows no service.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from typing import cast

from localcloud.compute.reaper import Reaper
from localcloud.compute.runtimes import Runtimes
from localcloud.front import Answer
from localcloud.gate import Gate
from localcloud.http_server import Servers
from localcloud.models.choose import choose_engine, renew_engine
from localcloud.models.engine import Engine
from localcloud.options import CloudOptions
from localcloud.parts.ports import CONSOLE_OFFSET, Sockets
from localcloud.persistence import empty_folder, hold_folder
from localcloud.template.stack import Stack

__all__ = ["Kept", "forget_delegated", "open_kept"]


@dataclass(slots=True)
class Kept:
    """From `open_kept`. `own`: what answers beside the AWS APIs, by the beginning of its paths.

    `stack` is the template as the first cloud read it, `servers` those of the cloud that is open; callers from outside
    wait at `gate`.
    """

    options: CloudOptions
    sockets: Sockets
    runtimes: Runtimes
    reaper: Reaper
    engine: Engine
    own: dict[str, Answer] = field(default_factory=dict[str, Answer])
    stack: Stack | None = None
    servers: Servers = field(default_factory=Servers)
    gate: Gate = field(default_factory=Gate)

    def empty(self) -> None:
        """Forget what clouds have left: what is kept in the folder, what moto holds, prompts, exports of stacks.

        Called between two clouds. Raises OSError where the folder cannot be emptied.
        """
        if self.options.persist is not None:
            empty_folder(self.options.persist)
        forget_delegated()
        self.servers = Servers()
        self.engine = renew_engine(self.engine)
        if self.stack is not None:
            cast("dict[str, str]", self.stack.graph.scope.exports).clear()


@asynccontextmanager
async def open_kept(options: CloudOptions) -> AsyncGenerator[Kept]:
    """What clouds are opened around, for the length of the block.

    Raises PortTaken, KeptStateUnusable, ValueError (no such model), OSError.
    """
    async with AsyncExitStack() as cleanup:
        sockets = cleanup.enter_context(closing(Sockets(options.port)))
        for offset in (0, CONSOLE_OFFSET):  # both are told before anything of the template is made
            sockets.take(offset).close()
        if options.persist is not None:
            cleanup.enter_context(hold_folder(options.persist))
        engine = choose_engine(options.model, progress=options.progress, api_key=options.model_key)
        await engine.start()
        cleanup.push_async_callback(engine.close)
        reaper = cleanup.enter_context(closing(Reaper()))
        runtimes = Runtimes(cache_dir=options.cache, environ=options.environ, progress=options.progress)
        yield Kept(options, sockets, runtimes, reaper, engine)


def forget_delegated() -> None:
    """Empty moto, whose state is this process's and outlives a cloud; nothing where it was never loaded."""
    if "localcloud.moto_call" in sys.modules:
        from localcloud.moto_call import forget_all  # noqa: PLC0415 - moto takes 0.8 s to load

        forget_all()
