"""Applications of the corpus that are about what is deployed: aliases with weights, warm environments, layers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.local.corpus import application

pytestmark = pytest.mark.local


def test_a_canary_behind_an_alias(tmp_path: Path) -> None:
    """The API calls the alias's warm version; a new version gets its share by weight, then all, and the old stays."""
    with application("canary", tmp_path) as app:
        api, name = app.client("lambda"), app.outputs["Prices"]
        read = f"{app.outputs['ApiUrl']}/prices"
        assert app.ask("GET", read).told == {"price": 10, "version": "1", "warm": "provisioned-concurrency"}
        api.update_function_configuration(FunctionName=name, Environment={"Variables": {"PRICE": "12"}})
        new = api.publish_version(FunctionName=name)["Version"]
        assert new == "2"
        api.update_alias(FunctionName=name, Name="try", RoutingConfig={"AdditionalVersionWeights": {new: 0.5}})
        seen = Counter((told["version"], told["price"]) for told in (app.invoke("Try") for _ in range(40)))
        assert set(seen) == {("1", 10), ("2", 12)}
        assert app.ask("GET", read).told["version"] == "1"
        api.update_alias(FunctionName=name, Name="try", FunctionVersion=new, RoutingConfig={})
        assert app.invoke("Try") == {"price": 12, "version": "2", "warm": "on-demand"}
        warm = api.get_provisioned_concurrency_config(FunctionName=name, Qualifier="live")
        assert (warm["Status"], warm["AvailableProvisionedConcurrentExecutions"]) == ("READY", 1)
        versions = [each["Version"] for each in api.list_versions_by_function(FunctionName=name)["Versions"]]
        assert versions == ["$LATEST", "1", "2"]


def test_functions_that_share_layers(tmp_path: Path) -> None:
    """A module that Python's method lays under `python/`, and a file that a makefile makes, are there for both."""
    with application("shared_layer", tmp_path) as app:
        assert app.invoke("Greet", {"name": "ann"}) == "hello ann"
        counted = app.invoke("Count")
        assert (counted["facts"], counted["first"]) == (2, "bees dance")
        assert counted["words"].endswith("/python/words.py")
        layers = app.client("lambda").list_layers()["Layers"]
        assert "shared-words" in {layer["LayerName"] for layer in layers}
