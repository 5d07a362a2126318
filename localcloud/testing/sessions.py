"""The clouds of a test session: one for each settings, lent to a test and as new after it.

Owns reading the settings, starting, and what a start that failed says.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, cast

import pytest

from localcloud.cloud import LedgerRefused, PortTaken
from localcloud.template.errors import TemplateError
from localcloud.testing.app import App
from localcloud.testing.environment import Patch, hide_accounts, point_at
from localcloud.testing.hosting import HostedCloud
from localcloud.testing.ports import find_ports
from localcloud.testing.settings import Settings, cloud_options
from sluiceway.errors import Misconfigured

__all__ = ["CloudSessions", "read_settings"]

_LOG: Final = logging.getLogger(__name__)
STARTS: Final = 5  # that may meet ports taken since they were found free
_KNOWN = frozenset(Settings.__dataclass_fields__)


class CloudSessions(AbstractContextManager["CloudSessions"]):
    """`make_folder` gives a new state folder for each settings, `environ` is the developer's own environment."""

    def __init__(self, make_folder: Callable[[], Path], environ: Mapping[str, str]) -> None:
        self._make_folder = make_folder
        self._environ = environ
        self._hosts: dict[Settings, HostedCloud] = {}
        self._ports: dict[Settings, int] = {}
        self._folders: dict[Settings, Path] = {}
        self._rng = random.Random()  # noqa: S311 - which ports are tried first

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop every cloud."""
        for host in self._hosts.values():
            host.stop()

    @contextmanager
    def lend(self, chosen: Mapping[str, Any], patch: Patch) -> Generator[App]:
        """The application for one test; a start that fails fails the test with what `sluiceway up` would say."""
        settings = read_settings(chosen)
        hide_accounts(settings.region, patch)
        host = self._host(settings)
        with ExitStack() as cleanup:
            cleanup.callback(self._rest, host)
            app = App(host)
            app.open()
            cleanup.callback(app.close)
            point_at(app.endpoint, patch)
            yield app

    def _rest(self, host: HostedCloud) -> None:
        """End what runs; a cloud that cannot be ended in order is gone, and the next test starts another."""
        try:
            host.rest()
        except Exception:  # noqa: BLE001 - whatever it met, in another thread: the test that follows has a new cloud
            _LOG.warning("plugin.not_ended_in_order", exc_info=True)
            self._drop(host)

    def _drop(self, host: HostedCloud) -> None:
        host.stop()
        self._hosts = {settings: other for settings, other in self._hosts.items() if other is not host}

    def _host(self, settings: Settings) -> HostedCloud:
        try:
            return self._open(settings)
        except LedgerRefused as error:
            rows = "\n".join(f"  {row}" for row in error.ledger.refused)
            raise pytest.fail.Exception(f"{settings.template}: {error}\n{rows}", pytrace=False) from None
        except (TemplateError, PortTaken, Misconfigured, ValueError, OSError) as error:
            raise pytest.fail.Exception(f"{settings.template}: {error}", pytrace=False) from None

    def _open(self, settings: Settings) -> HostedCloud:
        """The cloud of these settings, made anew by the one that served a test before, or started."""
        host = self._hosts.get(settings)
        if host is not None and not host.is_outdated():
            try:
                host.renew()
            except Exception:  # noqa: BLE001 - whatever it was, a start tells it where it lasts
                _LOG.warning("plugin.started_anew", exc_info=True)
            else:
                return host
        if host is not None:
            self._drop(host)
        host = self._hosts[settings] = self._start(settings)
        return host

    def _start(self, settings: Settings) -> HostedCloud:
        """Start on the ports that these settings had before, where nobody has taken them meanwhile."""
        folder = self._folders[settings] = self._folders.get(settings) or self._make_folder()
        port = 0
        for _ in range(STARTS):
            port = self._ports.get(settings) or find_ports(self._rng)
            options = cloud_options(settings, folder, self._environ, port=port)
            host = HostedCloud(options, seed=settings.seed)
            try:
                host.start()
            except PortTaken:
                self._ports.pop(settings, None)
                continue
            self._ports[settings] = port
            return host
        raise PortTaken(port)


def read_settings(chosen: Mapping[str, Any]) -> Settings:
    """The settings as they are written in ini options and markers. Fails the test where they cannot be read."""
    unknown = sorted(set(chosen) - _KNOWN)
    if unknown:
        pytest.fail(
            f"sluiceway: there is no setting {unknown[0]}; there are {', '.join(sorted(_KNOWN))}", pytrace=False
        )
    template = Path(chosen["template"]).resolve()
    if not template.is_file():
        pytest.fail(f"sluiceway: there is no template {template}; --sluiceway-template names one", pytrace=False)
    return Settings(
        template=template,
        parameters=_read_parameters(chosen["parameters"]),
        allow=tuple(sorted(chosen["allow"])),
        model=chosen["model"],
        region=chosen["region"],
        config_env=chosen["config_env"],
        seed=_read_seed(chosen["seed"]),
    )


def _read_parameters(given: object) -> tuple[tuple[str, str], ...]:
    if isinstance(given, Mapping):
        named = cast("Mapping[str, Any]", given)
        return tuple(sorted((name, str(value)) for name, value in named.items()))
    pairs: dict[str, str] = {}
    for line in cast("list[str]", given):
        name, equals, value = line.partition("=")
        if not equals or not name.strip():
            pytest.fail(f"sluiceway_parameters: a line is Name=Value, not {line!r}", pytrace=False)
        pairs[name.strip()] = value.strip()
    return tuple(sorted(pairs.items()))


def _read_seed(given: object) -> int:
    try:
        return int(str(given))
    except ValueError:
        pytest.fail(f"sluiceway_seed: a whole number, not {given!r}", pytrace=False)
