"""SnapStart: what runs before the snapshot is taken and after an environment is restored from it.

An App leaves its lifespan before the snapshot, since connections and credentials in it would be dead in every copy, and
enters it after the restore. Hooks registered with `snapshot_restore_py` run as under the managed runtime: before the
snapshot the latest first, after the restore in the order of their registration.

Source: https://docs.aws.amazon.com/lambda/latest/dg/snapstart-runtime-hooks-python.html
"""

from __future__ import annotations

import importlib
import importlib.util
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol, cast

from sluiceway.runtime.blocking import BlockingApi
from sluiceway.runtime.desk import Desk
from sluiceway.runtime.faults import describe_failure

__all__ = ["pass_snapshot"]

BEFORE_FAILED: Final = 64  # the managed runtime's exit codes
AFTER_FAILED: Final = 65
_PACKAGE: Final = "snapshot_restore_py"
_Hook = tuple[Callable[..., object], Sequence[Any], Mapping[str, Any]]


class _Hooks(Protocol):
    """What the package of hooks offers."""

    def get_before_snapshot(self) -> list[_Hook]: ...

    def get_after_restore(self) -> list[_Hook]: ...


def pass_snapshot(desk: Desk, api: BlockingApi) -> int:
    """Prepare, wait for the restore, and wake up; 0, or the code to exit with. Raises: RuntimeApiError."""
    hooks = _find_hooks()
    try:
        _prepare(desk, hooks)
        api.post(desk.requests.restore_next)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the outermost edge of init
        failure = describe_failure(error)
        desk.report(failure)
        api.post(desk.requests.init_error(failure, kind="Runtime.BeforeSnapshotError"))
        return BEFORE_FAILED
    try:
        _wake(desk, hooks)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the outermost edge of the restore
        failure = describe_failure(error)
        desk.report(failure)
        api.post(desk.requests.restore_error(failure))
        return AFTER_FAILED
    return 0


def _find_hooks() -> _Hooks | None:
    if importlib.util.find_spec(_PACKAGE) is None:
        return None
    return cast("_Hooks", importlib.import_module(_PACKAGE))


def _prepare(desk: Desk, hooks: _Hooks | None) -> None:
    waiting = [] if hooks is None else hooks.get_before_snapshot()
    while waiting:
        hook, positional, named = waiting.pop()
        hook(*positional, **named)
    if desk.app is not None:
        desk.app.run(desk.app.aclose())


def _wake(desk: Desk, hooks: _Hooks | None) -> None:
    random.seed()  # every copy of the snapshot would draw the same numbers
    if desk.app is not None:
        desk.app.run(desk.app.open())
    for hook, positional, named in [] if hooks is None else hooks.get_after_restore():
        hook(*positional, **named)
