"""A function is four things that stay together: its folder, its resource, its recorded events, its line in the docs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from tests.shape.branches import branches

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = sorted(path.parent.name for path in (ROOT / "functions").glob("*/app.py"))


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's tags kept as plain values."""


def _tag(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return {suffix: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {suffix: loader.construct_sequence(node, deep=True)}
    return {suffix: loader.construct_mapping(node, deep=True)}


_Loader.add_multi_constructor("!", _tag)


def _template() -> dict[str, Any]:
    return yaml.load((ROOT / "template.yaml").read_text(encoding="utf-8"), Loader=_Loader)


def _functions_of_template() -> dict[str, dict[str, Any]]:
    return {
        resource["Properties"]["CodeUri"].removeprefix("functions/"): resource["Properties"]
        for resource in _template()["Resources"].values()
        if resource["Type"] == "AWS::Serverless::Function"
    }


def test_every_folder_has_its_resource_and_the_other_way_round() -> None:
    """functions/ and the template name the same functions."""
    assert sorted(_functions_of_template()) == FUNCTIONS


def test_every_function_has_recorded_events_with_replies() -> None:
    """events/ holds at least one case for each function, and each case its reply; a frame belongs to a case too."""
    for name in FUNCTIONS:
        files = list((ROOT / "events" / name).glob("*.json"))
        cases = [path for path in files if not path.name.endswith((".reply.json", ".frame.json"))]
        framed = {path.name.removesuffix(".frame.json") for path in files if path.name.endswith(".frame.json")}
        assert framed <= {case.stem for case in cases}, name
        assert cases, name
        for case in cases:
            json.loads(case.read_text(encoding="utf-8"))
            reply = case.with_suffix("").with_suffix(".reply.json")
            assert reply.exists(), reply
            json.loads(reply.read_text(encoding="utf-8"))


def test_every_function_has_its_line_in_the_docs() -> None:
    """docs/index.md names each function."""
    text = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for name in FUNCTIONS:
        assert f"`{name}`" in text, name


def test_a_function_is_one_file_that_imports_only_the_layer() -> None:
    """functions/<name>/ holds app.py alone (and its requirements), importing sluiceway, pydantic and the stdlib."""
    stdlib = {
        "__future__", "asyncio", "collections", "contextlib", "dataclasses", "datetime", "functools", "json", "re",
        "typing",
    }  # fmt: skip
    for name in FUNCTIONS:
        folder = ROOT / "functions" / name
        assert {path.name for path in folder.iterdir() if path.suffix == ".py"} == {"app.py"}, name
        text = (folder / "app.py").read_text(encoding="utf-8")
        imported = {match.split(".")[0] for match in re.findall(r"^(?:from|import) ([\w.]+)", text, flags=re.MULTILINE)}
        assert imported <= stdlib | {"sluiceway", "pydantic"}, (name, imported)


def test_policies_name_actions_and_resources() -> None:
    """No statement of the template allows `*` actions or `*` resources."""
    for name, resource in _template()["Resources"].items():
        properties = resource.get("Properties", {})
        documents = [policy for policy in properties.get("Policies", []) if isinstance(policy, dict)]
        for statement in branches([d.get("PolicyDocument", d).get("Statement", []) for d in documents]):
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            assert not any(action == "*" or action.endswith(":*") for action in actions), name
            assert "*" not in branches(statement["Resource"]), name


def test_every_function_logs_into_a_group_with_retention() -> None:
    """Each function names its log group, and each group its retention."""
    groups = {n: r for n, r in _template()["Resources"].items() if r["Type"] == "AWS::Logs::LogGroup"}
    for name, properties in _functions_of_template().items():
        assert properties["LoggingConfig"]["LogGroup"]["Ref"] in groups, name
    assert all("RetentionInDays" in group["Properties"] for group in groups.values())
