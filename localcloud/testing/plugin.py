"""pytest's side: the options, the fixture `sluiceway_app`, and what a failed test's report says of the application.

Importing this costs nothing: the local cloud is imported when the first test asks for it.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from localcloud.testing.app import App
    from localcloud.testing.sessions import CloudSessions

__all__ = ["sluiceway_app"]

_APP: Final = pytest.StashKey["App"]()
_TEXTS: Final = {
    "template": ("the template, from the folder of the configuration file on", "template.yaml"),
    "model": ("the engine behind Bedrock", "scripted"),
    "region": ("the Region", "us-east-1"),
    "seed": ("the seed of ids and jitter", "0"),
    "config_env": ("the environment of samconfig.toml", ""),
}
_LISTS: Final = {
    "parameters": "the template's parameters, a line Name=Value each",
    "allow": "what the ledger refuses and these tests do without, a line each",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--sluiceway-template`, and the ini options `sluiceway_*`."""
    group = parser.getgroup("sluiceway", "a local cloud for the tests of an application")
    group.addoption("--sluiceway-template", metavar="FILE", help="the template, above the ini option's")
    for name, (told, default) in _TEXTS.items():
        parser.addini(f"sluiceway_{name}", f"{told} ({default or 'none'})", default=default)
    for name, told in _LISTS.items():
        parser.addini(f"sluiceway_{name}", told, type="linelist", default=[])


def pytest_configure(config: pytest.Config) -> None:
    """The marker by which a test differs."""
    config.addinivalue_line(
        "markers", "sluiceway(template, parameters, allow, model, region, seed, config_env): this test's local cloud"
    )


@pytest.fixture(scope="session")
def _sluiceway_clouds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudSessions]:
    from localcloud.testing.sessions import CloudSessions  # noqa: PLC0415 - the whole local cloud

    environ = dict(os.environ)  # noqa: TID251 - the developer's own, for finding interpreters; functions see none of it
    with CloudSessions(lambda: tmp_path_factory.mktemp("sluiceway"), environ) as clouds:
        yield clouds


@pytest.fixture
def sluiceway_app(
    request: pytest.FixtureRequest, _sluiceway_clouds: CloudSessions, monkeypatch: pytest.MonkeyPatch
) -> Iterator[App]:
    """The template's application, running, as it is right after its deployment; SDKs of this process reach it."""
    with _sluiceway_clouds.lend(_chosen(request), monkeypatch) as app:
        request.node.stash[_APP] = app
        yield app


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What happened in the application, below a test that failed."""
    report = yield
    app = item.stash.get(_APP, None)
    if app is not None and call.when == "call" and report.failed:
        report.sections.extend(app.describe())
    return report


def _chosen(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The settings as they are written: ini options, then the command line's, then the marker's."""
    config = request.config
    chosen: dict[str, Any] = {name: config.getini(f"sluiceway_{name}") for name in (*_TEXTS, *_LISTS)}
    given = config.getoption("--sluiceway-template")
    folder = config.inipath.parent if config.inipath is not None else config.rootpath
    chosen["template"] = config.invocation_params.dir / given if given else folder / chosen["template"]
    marker = request.node.get_closest_marker("sluiceway")
    if marker is not None:
        own = dict(marker.kwargs)
        if "template" in own:
            own["template"] = Path(request.path).parent / own["template"]
        chosen |= own
    return chosen
