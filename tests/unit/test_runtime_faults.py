"""runtime.faults: errors as callers, logs and X-Ray see them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from awslambdaric.bootstrap import extract_traceback, make_error, make_xray_fault

from sluiceway.runtime.faults import RuntimeFault, describe_failure
from sluiceway.runtime.handler import load_handler


def raised(error: Exception) -> Exception:
    """The same error with a traceback of two frames of this file."""

    def inner() -> None:
        raise error

    try:
        inner()
    except Exception as caught:  # noqa: BLE001 - handed back
        return caught
    raise AssertionError


@pytest.mark.parametrize(
    "error", [ValueError("höllo\nline"), KeyError("k"), RuntimeError(), ExceptionGroup("g", [ValueError()])]
)
def test_a_failure_is_what_the_managed_runtime_makes_of_it(error: Exception):
    """Message, type, id, trace, and the cause for X-Ray."""
    import traceback

    caught = raised(error)
    frames = extract_traceback(caught.__traceback__)
    failure = describe_failure(caught, request_id="r-1")
    official = make_error(str(error), type(error).__name__, traceback.format_list(frames), "r-1")
    assert failure.members() == official
    assert json.loads(failure.body()) == official
    theirs = make_xray_fault(type(error).__name__, str(error), str(Path.cwd()), frames)
    assert json.loads(failure.cause) == theirs


def test_what_the_runtime_refuses_has_its_own_type_and_no_trace():
    """As with a handler that is not there."""
    failure = describe_failure(RuntimeFault("Runtime.HandlerNotFound", "missing"), request_id="")
    assert failure.members() == {
        "errorMessage": "missing", "errorType": "Runtime.HandlerNotFound", "requestId": "", "stackTrace": [],
    }  # fmt: skip
    assert json.loads(failure.cause)["exceptions"][0]["type"] == "LambdaValidationError"


def test_an_error_that_cannot_be_shown_is_told_all_the_same():
    """Its own __str__ may fail; the invocation still gets an answer."""

    class Rude(Exception):
        def __str__(self) -> str:
            raise ValueError("no")

    failure = describe_failure(raised(Rude()))
    assert (failure.kind, failure.message) == ("Rude", "<Rude that cannot be shown>")


def test_a_lone_surrogate_in_a_message_is_escaped():
    """The body stays JSON."""
    body = describe_failure(raised(ValueError("\ud800"))).body()
    assert json.loads(body)["errorMessage"] == "\ud800"


def test_a_cause_over_a_megabyte_is_left_out():
    """As the managed runtime does: it is a header."""
    assert describe_failure(raised(ValueError("x" * 1024 * 1024))).cause == ""
    assert describe_failure(raised(ValueError("x" * 1000))).cause != ""


def test_the_cause_is_ascii():
    """It is a header."""
    assert describe_failure(raised(ValueError("ä\n"))).cause.isascii()


def test_frames_of_the_client_itself_are_left_out():
    """What a reader sees first is the function's own code, or what the client called."""
    assert f'File "{__file__}"' in describe_failure(raised(ValueError())).trace[0]
    with pytest.raises(RuntimeFault) as caught:
        load_handler("tests.unit.no_such_module.handler")
    missing = caught.value.__cause__
    assert isinstance(missing, ModuleNotFoundError)
    assert "importlib/__init__.py" in describe_failure(missing).trace[0]
