"""The environment that docs/testing.md gives to `sam local invoke` is the template's own."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from localcloud.issuer import ISSUER
from localcloud.template.source import read_template

ROOT = Path(__file__).resolve().parents[2]
SOURCE: dict[str, Any] = dict(read_template(ROOT / "template.yaml").body)


def recipe() -> str:
    """The shell block that makes env.json."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "testing.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    (block,) = [block for block in blocks if "env.json" in block]
    return block


def environments() -> dict[str, dict[str, str]]:
    """env.json as the shell writes it, `$(...)` left as it is."""
    written = re.search(r"<<JSON\n(.*?)\nJSON\n", recipe(), flags=re.DOTALL)
    assert written is not None
    return json.loads(written[1])


def template_variables(function: str) -> dict[str, Any]:
    variables = SOURCE["Resources"][function]["Properties"]["Environment"]["Variables"]
    return {name: value for name, value in variables.items() if not name.startswith("AWS_")}  # those are Lambda's


def say(variable: str) -> str:
    """What a variable of the recipe holds, as JSON text has it: compact, as the template writes it."""
    line = re.search(rf"^{variable[1:]}=\$\((.*)\)$", recipe(), flags=re.MULTILINE)
    assert line is not None
    made = subprocess.run(["sh", "-c", line[1]], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.dumps(json.loads(json.loads(f'"{made.stdout}"')), separators=(",", ":"))


@pytest.mark.parametrize("function", sorted(environments()))
def test_every_variable_of_the_template_is_given(function: str) -> None:
    """No variable is missing and none is invented, which sam would drop without a word; plain values are the same."""
    given, declared = environments()[function], template_variables(function)
    assert set(given) == set(declared)
    given |= {name: say(value) for name, value in given.items() if value == "$rollup"}
    assert {name: given[name] for name, value in declared.items() if isinstance(value, str)} == {
        name: value for name, value in declared.items() if isinstance(value, str)
    }


def test_every_function_with_services_is_covered() -> None:
    """The functions whose variables name tables of the local cloud are those of env.json; a pair's are not in it."""
    functions = [
        name
        for name, entry in SOURCE["Resources"].items()
        if entry["Type"] == "AWS::Serverless::Function" and "Condition" not in entry
    ]
    with_tables = {name for name in functions if any(each.endswith("_TABLE") for each in template_variables(name))}
    assert set(environments()) == with_tables


def test_what_parameters_decide_is_what_they_are_at_a_first_deployment() -> None:
    """A variable that is a parameter has its default where there is one; keys are the local issuer's."""
    parameters = {name: each for name, each in SOURCE["Parameters"].items() if name != "TokenKeys"}
    for function, given in environments().items():
        for name, value in template_variables(function).items():
            default = parameters.get(value.get("Ref"), {}).get("Default") if isinstance(value, dict) else None
            assert default is None or given[name] == str(default), (function, name)


def test_the_issuer_is_the_local_one() -> None:
    """Tokens that `sluiceway token` signs are good for a function that asks for them itself."""
    given = environments()["StreamHttp"]
    assert (given["TOKEN_ISSUER"], given["TOKEN_KEYS"]) == (ISSUER, "$keys")
    key_set = '{"keys": [{"kty": "RSA"}]}'
    escaped = subprocess.run(
        ["sh", "-c", re.findall(r"^keys=\$\((sed .*) \S+\)$", recipe(), flags=re.MULTILINE)[0]],
        input=key_set, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(f'"{escaped.stdout.strip()}"') == key_set


def test_every_name_that_status_is_asked_for_exists() -> None:
    """`sluiceway status NAME` finds an output of the template, or an endpoint."""
    asked = set(re.findall(r"\$\(sluiceway status (\w+)\)", recipe()))
    assert asked - {"aws"} <= set(SOURCE["Outputs"])


def test_the_endpoint_takes_the_place_of_a_variable_that_the_template_declares() -> None:
    """The line that sed looks for stands once in the template: without it the endpoint would not reach the function."""
    assert recipe().count("s|POWERTOOLS_LOG_LEVEL: INFO|AWS_ENDPOINT_URL: ") == 1
    assert (ROOT / "template.yaml").read_text(encoding="utf-8").count("POWERTOOLS_LOG_LEVEL: INFO\n") == 1


def test_every_recorded_event_of_the_recipe_exists() -> None:
    """The events are there and belong to the functions that they are sent to."""
    for function, case in re.findall(r"(\w+):(\w+/\w+)", recipe().partition("for event in ")[2].partition("; do")[0]):
        assert SOURCE["Resources"][function]["Properties"]["CodeUri"] == f"functions/{case.partition('/')[0]}"
        assert (ROOT / "events" / f"{case}.json").exists()
