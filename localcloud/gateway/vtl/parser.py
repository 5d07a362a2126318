"""From a template's text to its tree: text, comments and directives, with the line ends Velocity 1.7 eats.

A closing parenthesis of a directive, `#else` and `#end` take the spaces and the line end after them; `#set` also the
spaces before it where they follow another directive; `##` takes the line end; `#*...*#` and `#[[...]]#` take nothing.
Directives that API Gateway does not document (#macro, #parse, #include, #evaluate) are errors, but for #define, which
the request template has that the Serverless Framework gives to functions by default.
Sources: https://velocity.apache.org/engine/1.7/user-guide.html,
https://www.serverless.com/framework/docs/providers/aws/events/apigateway#lambda-integration
"""

from __future__ import annotations

import re
from typing import Final

from localcloud.gateway.vtl.cursor import Cursor
from localcloud.gateway.vtl.errors import VtlError
from localcloud.gateway.vtl.expressions import parse_expression, parse_reference
from localcloud.gateway.vtl.nodes import (
    Block,
    Break,
    Define,
    EscapedReference,
    Expression,
    Foreach,
    If,
    Reference,
    Set,
    Statement,
    Stop,
    Text,
)

__all__ = ["MAX_TEMPLATE_BYTES", "parse_template"]

MAX_TEMPLATE_BYTES: Final = (
    300 * 1024
)  # https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html

_PLAIN: Final = re.compile(r"[^$#\\]+")
_SET: Final = re.compile(r"[ \t]*#(?:set|\{set\}) *\(")
_WORD: Final = re.compile(r"#(?:([A-Za-z_@][A-Za-z0-9_@]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})")
_LINE_END: Final = re.compile(r"[ \t]*(?:\r\n|\n|\r)")
_SPACES_IN_LINE: Final = re.compile(r"[ \t]*")
_COMMENT: Final = re.compile(r"##[^\r\n]*(?:\r\n|\n|\r)?")
_BACKSLASHES: Final = re.compile(r"\\+(?=[$#])")
_IN: Final = re.compile(r"[ \t\r\n]+in(?![A-Za-z0-9_-])")

_KNOWN: Final = frozenset({"if", "elseif", "else", "end", "foreach", "stop", "break", "set", "define"})
_REFUSED: Final = frozenset({"macro", "parse", "include", "evaluate", "literal"})
_CLOSERS: Final = frozenset({"end", "else", "elseif"})


def parse_template(text: str) -> Block:
    """The tree of `text`. Raises VtlError naming the line."""
    if len(text.encode()) > MAX_TEMPLATE_BYTES:
        raise VtlError(f"the template is larger than {MAX_TEMPLATE_BYTES} bytes", line=0)
    return _parse_whole(Cursor(text, _parse_whole))


def _parse_whole(cursor: Cursor) -> Block:
    block, closer = _parse_block(cursor)
    if closer:
        raise cursor.error(f"#{closer} without its #if or #foreach")
    return block


def _parse_block(cursor: Cursor) -> tuple[Block, str]:
    """Statements up to `#end`, `#else` or `#elseif` (taken, and named) or the end ("")."""
    cursor.deeper()
    statements: list[Statement] = []
    while not cursor.ended:
        closer = _parse_statement(cursor, statements)
        if closer:
            cursor.depth -= 1
            return tuple(statements), closer
    cursor.depth -= 1
    return tuple(statements), ""


def _parse_statement(cursor: Cursor, statements: list[Statement]) -> str:
    if cursor.match(_SET):
        statements.append(_parse_set(cursor))
        return ""
    if plain := cursor.match(_PLAIN):
        statements.append(Text(plain[0]))
        return ""
    if cursor.looks_at("\\"):
        statements.append(_parse_backslashes(cursor))
        return ""
    if cursor.looks_at("$"):
        reference = parse_reference(cursor)
        statements.append(reference if reference is not None else _take_character(cursor))
        return ""
    return _parse_hash(cursor, statements)


def _take_character(cursor: Cursor) -> Text:
    cursor.position += 1
    return Text(cursor.text[cursor.position - 1])


def _parse_backslashes(cursor: Cursor) -> Statement:
    """Half of the backslashes before a reference or directive are written; an odd one makes it text."""
    found = cursor.match(_BACKSLASHES)
    if found is None:
        return _take_character(cursor)
    count = len(found[0])
    if cursor.looks_at("$"):
        reference = parse_reference(cursor)
        return EscapedReference(reference, count) if reference is not None else Text(found[0])
    word = _WORD.match(cursor.text, cursor.position)
    if word is None or (word[1] or word[2]) not in _KNOWN:
        return Text(found[0])
    if count % 2 == 0:
        return Text("\\" * (count // 2))
    cursor.position = word.end()
    return Text("\\" * (count // 2) + word[0])


def _parse_hash(cursor: Cursor, statements: list[Statement]) -> str:
    if cursor.looks_at("#[["):
        statements.append(_take_until(cursor, "#[[", "]]#"))
        return ""
    if cursor.match(_COMMENT):
        return ""
    if cursor.looks_at("#*"):
        _take_until(cursor, "#*", "*#")
        return ""
    word = _WORD.match(cursor.text, cursor.position)
    name = (word[1] or word[2]) if word is not None else ""
    if name in _REFUSED:
        raise cursor.error(f"#{name} is not a directive of API Gateway's mapping templates")
    if word is None or name not in _KNOWN:
        statements.append(_take_character(cursor))
        return ""
    cursor.position = word.end()
    return _parse_directive(cursor, name, statements)


def _take_until(cursor: Cursor, opening: str, closing: str) -> Text:
    end = cursor.text.find(closing, cursor.position + len(opening))
    if end < 0:
        raise cursor.error(f"{opening} is not closed by {closing}")
    text = cursor.text[cursor.position + len(opening) : end]
    cursor.position = end + len(closing)
    return Text(text)


def _parse_directive(cursor: Cursor, name: str, statements: list[Statement]) -> str:
    if name in _CLOSERS:
        if name != "elseif":
            cursor.match(_LINE_END)
        return name
    if name == "if":
        statements.append(_parse_if(cursor))
    elif name == "foreach":
        statements.append(_parse_foreach(cursor))
    elif name == "define":
        statements.append(_parse_define(cursor))
    elif name == "set":
        raise cursor.error("#set needs '(' right after it")
    else:
        statements.append(Stop() if name == "stop" else Break())
    return ""


def _close_parenthesis(cursor: Cursor) -> None:
    cursor.expect(")")
    cursor.match(_LINE_END)


def _parse_condition(cursor: Cursor) -> Expression:
    cursor.match(_SPACES_IN_LINE)
    cursor.expect("(")
    condition = parse_expression(cursor)
    _close_parenthesis(cursor)
    return condition


def _parse_set(cursor: Cursor) -> Set:
    target = _parse_variable(cursor)
    cursor.expect("=")
    value = parse_expression(cursor)
    _close_parenthesis(cursor)
    return Set(target, value)


def _parse_variable(cursor: Cursor) -> Reference:
    cursor.skip_space()
    reference = parse_reference(cursor) if cursor.looks_at("$") else None
    if reference is None:
        raise cursor.error("expected a reference such as $name")
    return reference


def _parse_if(cursor: Cursor) -> If:
    line = cursor.line
    branches: list[tuple[Expression, Block]] = []
    closer = "elseif"
    while closer == "elseif":
        condition = _parse_condition(cursor)
        block, closer = _parse_block(cursor)
        branches.append((condition, block))
    otherwise: Block = ()
    if closer == "else":
        otherwise, closer = _parse_block(cursor)
    if closer != "end":
        raise VtlError(
            f"#if has no #end ({'the end of the text' if not closer else '#' + closer} came first)", line=line
        )
    return If(tuple(branches), otherwise)


def _parse_foreach(cursor: Cursor) -> Foreach:
    line = cursor.line
    variable = _parse_plain_variable(cursor, "foreach")
    if not cursor.match(_IN):
        raise cursor.error("#foreach needs ' in ' after its variable")
    source = parse_expression(cursor)
    _close_parenthesis(cursor)
    return Foreach(variable.name, source, _parse_body(cursor, "foreach", line), line)


def _parse_define(cursor: Cursor) -> Define:
    line = cursor.line
    variable = _parse_plain_variable(cursor, "define")
    _close_parenthesis(cursor)
    return Define(variable.name, _parse_body(cursor, "define", line))


def _parse_plain_variable(cursor: Cursor, directive: str) -> Reference:
    """`($name`, of a directive."""
    cursor.match(_SPACES_IN_LINE)
    cursor.expect("(")
    variable = _parse_variable(cursor)
    if variable.steps:
        raise cursor.error(f"#{directive} needs a plain variable, not {variable.source}")
    return variable


def _parse_body(cursor: Cursor, directive: str, line: int) -> Block:
    """What stands before the `#end` of a directive without branches."""
    body, closer = _parse_block(cursor)
    if closer != "end":
        came = f"#{closer}" if closer else "the end of the text"
        raise VtlError(f"#{directive} has no #end ({came} came first)", line=line)
    return body
