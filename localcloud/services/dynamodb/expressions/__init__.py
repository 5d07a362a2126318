"""DynamoDB's expression languages: text and placeholders in, checked trees out. Knows values, no tables."""

from __future__ import annotations

from localcloud.services.dynamodb.expressions.bindings import Bindings
from localcloud.services.dynamodb.expressions.condition_parser import parse_condition
from localcloud.services.dynamodb.expressions.conditions import Condition, holds, walk_paths
from localcloud.services.dynamodb.expressions.key_conditions import KeyCondition, parse_key_condition
from localcloud.services.dynamodb.expressions.paths import Path
from localcloud.services.dynamodb.expressions.projections import parse_projection, project_item
from localcloud.services.dynamodb.expressions.update_effects import apply_update
from localcloud.services.dynamodb.expressions.updates import Update, parse_update

__all__ = [
    "Bindings",
    "Condition",
    "KeyCondition",
    "Path",
    "Update",
    "apply_update",
    "holds",
    "parse_condition",
    "parse_key_condition",
    "parse_projection",
    "parse_update",
    "project_item",
    "walk_paths",
]
