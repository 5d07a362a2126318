"""The Velocity subset that API Gateway documents for mapping templates: parse once, render often.

Knows nothing of HTTP, `$input`, `$util` or `$context`: variables come from the caller.
"""

from __future__ import annotations

from localcloud.gateway.vtl.errors import VtlError
from localcloud.gateway.vtl.evaluator import render
from localcloud.gateway.vtl.parser import parse_template
from localcloud.gateway.vtl.values import JsonList, TemplateObject, Unknown, as_text, json_text

__all__ = ["JsonList", "TemplateObject", "Unknown", "VtlError", "as_text", "json_text", "parse_template", "render"]
