"""Code that is written into a template, and the module that answers for custom resources beside it."""

from __future__ import annotations

import importlib.util
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest

from localcloud.compute.inline import inline_folder

EVENT = {"ResponseURL": "http://127.0.0.1:1/x", "StackId": "s", "RequestId": "r", "LogicalResourceId": "l"}
CONTEXT = SimpleNamespace(log_stream_name="stream")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import cfnresponse\n", ["cfnresponse.py", "index.py"]),
        ("def f():\n    import cfnresponse\n", ["cfnresponse.py", "index.py"]),
        ("import json, cfnresponse\n", ["index.py"]),
        ("from cfnresponse import send\n", ["index.py"]),
    ],
)
def test_the_module_is_there_for_its_own_statement_alone(tmp_path: Path, text: str, expected: list[str]) -> None:
    """As CloudFormation says: other ways to write the import do not bring it."""
    folder = inline_folder(text, tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == expected
    assert (folder / "index.py").read_text() == text


@pytest.fixture
def module(tmp_path: Path) -> Any:
    """The module, as a function's interpreter finds it."""
    path = inline_folder("import cfnresponse", tmp_path) / "cfnresponse.py"
    spec = importlib.util.spec_from_file_location("cfnresponse", path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def _catch(monkeypatch: pytest.MonkeyPatch, answer: Callable[[urllib.request.Request], Any]) -> None:
    def urlopen(request: urllib.request.Request, **_: object) -> Any:
        return answer(request)

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)


class Answered:
    """An HTTP answer."""

    status = 200

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


def test_it_answers_as_awss_own_does(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A PUT with an empty content type; the log stream stands for what is not given."""
    sent: list[urllib.request.Request] = []

    def keep(request: urllib.request.Request) -> Answered:
        sent.append(request)
        return Answered()

    _catch(monkeypatch, keep)
    module.send(EVENT, CONTEXT, module.SUCCESS, {"A": 1})
    module.send(EVENT, CONTEXT, module.FAILED, None, physicalResourceId="p", noEcho=True, reason="why")
    first, second = (json.loads(request.data) for request in sent if isinstance(request.data, bytes))
    copied = {"StackId": "s", "RequestId": "r", "LogicalResourceId": "l"}
    reason = "See the details in CloudWatch Log Stream: stream"
    assert first == {
        "Status": "SUCCESS",
        "Reason": reason,
        "PhysicalResourceId": "stream",
        "NoEcho": False,
        "Data": {"A": 1},
        **copied,
    }
    assert second == {
        "Status": "FAILED", "Reason": "why", "PhysicalResourceId": "p", "NoEcho": True, "Data": None, **copied,
    }  # fmt: skip
    assert [(request.get_method(), request.get_header("Content-type")) for request in sent] == [("PUT", "")] * 2


def test_what_cannot_be_answered_is_printed(
    module: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The function goes on."""

    def refuse(_: urllib.request.Request) -> None:
        raise urllib.error.URLError("nobody listens")

    _catch(monkeypatch, refuse)
    module.send(EVENT, CONTEXT, module.SUCCESS, {})
    assert "cannot answer: <urlopen error nobody listens>" in capsys.readouterr().out
