"""Global tables against botocore's model of the API: what we send is what the model knows, in its shapes and enums."""

from __future__ import annotations

from typing import Any

import boto3
import pytest

from localcloud.clock import run_virtual
from localcloud.services.dynamodb.replica_updates import REPLICA_MEMBERS
from tests.unit.dynamodb_global_setup import A, B, C, Regions

STRUCTURE, LIST = "structure", "list"


def model() -> Any:
    sdk: Any = boto3
    return sdk.client("dynamodb", region_name=A, aws_access_key_id="k", aws_secret_access_key="s").meta.service_model


def unknown(shape: Any, value: Any, path: str = "") -> list[str]:
    """Where `value` has a member that `shape` does not know, or a word outside its enum."""
    if shape.type_name == STRUCTURE:
        found = [f"{path}.{name}" for name in value if name not in shape.members]
        known = [(name, inner) for name, inner in value.items() if name in shape.members]
        return found + [bad for name, inner in known for bad in unknown(shape.members[name], inner, f"{path}.{name}")]
    if shape.type_name == LIST:
        return [bad for inner in value for bad in unknown(shape.member, inner, f"{path}[]")]
    enum = getattr(shape, "enum", None)
    return [f"{path}={value}"] if enum and value not in enum else []


@pytest.mark.parametrize("is_strong", [False, True])
def test_answers_are_the_models(is_strong: bool) -> None:
    """UpdateTable and DescribeTable answer members and words that the model has, in either consistency."""

    async def main() -> list[str]:
        world = Regions()
        if is_strong:
            await world.strong(has_witness=True)
        else:
            await world.table(C)
            updated = await world.replicate([B])
            assert unknown(model().operation_model("UpdateTable").output_shape, updated) == []
        described = await world.call(A, "DescribeTable", TableName="things")
        assert "Replicas" in described["Table"]
        return unknown(model().operation_model("DescribeTable").output_shape, described)

    assert run_virtual(main) == []


def test_the_checker_finds_what_the_model_does_not_know() -> None:
    """A wrong member, and a status that is none, are told."""
    shape = model().operation_model("DescribeTable").output_shape
    answer = {"Table": {"Wrong": 1, "Replicas": [{"ReplicaStatus": "FINE"}]}}
    assert unknown(shape, answer) == [".Table.Wrong", ".Table.Replicas[].ReplicaStatus=FINE"]


def test_the_request_is_the_models() -> None:
    """The members of UpdateTable that make replicas are the model's, and its errors are those that we send."""
    assert set(REPLICA_MEMBERS) <= set(model().operation_model("UpdateTable").input_shape.members)
    for operation in ("PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem"):
        errors = {shape.name for shape in model().operation_model(operation).error_shapes}
        assert {"ReplicatedWriteConflictException", "InternalServerError"} <= errors
