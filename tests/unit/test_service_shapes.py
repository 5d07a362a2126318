"""Requests held against a service's model: whatever JSON has in the place of a member, it is refused in AWS's words."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.service_shapes import Malformed, open_shapes

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize(
    ("service", "operation", "body"),
    [
        ("kms", "Encrypt", {"KeyId": "k", "Plaintext": [[[]]]}),
        ("kms", "Encrypt", {"KeyId": "k", "Plaintext": {"": None}}),
        ("kms", "Encrypt", {"KeyId": "k", "Plaintext": 1}),
        ("secretsmanager", "CreateSecret", {"Name": "n", "SecretBinary": {"": None}}),
        ("secretsmanager", "CreateSecret", {"Name": "n", "Tags": [[None]]}),
        ("ssm", "PutParameter", {"Name": "n", "Value": True}),
    ],
    ids=range(6),
)
def test_another_type_than_the_members_is_malformed(service: str, operation: str, body: dict[str, Any]) -> None:
    """SerializationException on the wire; a blob is text, and nothing else."""
    with pytest.raises(Malformed, match="can not be converted to"):
        open_shapes(service).violations(operation, body)


@settings(deadline=None)  # a model is read at its first use
@given(
    chosen=st.sampled_from(
        [("kms", "Encrypt"), ("kms", "ReEncrypt"), ("kms", "Sign"), ("secretsmanager", "CreateSecret")]
    ),
    values=st.lists(ANYTHING, min_size=12, max_size=12),
)
def test_any_json_is_judged(chosen: tuple[str, str], values: list[Any]) -> None:
    """Nothing but a sentence or Malformed comes of any value of any member."""
    service, operation = chosen
    shapes = open_shapes(service)
    members = shapes.shapes[shapes.operations[operation]["input"]["shape"]]["members"]
    with contextlib.suppress(Malformed):
        assert isinstance(shapes.violations(operation, dict(zip(members, values, strict=False))), str)
