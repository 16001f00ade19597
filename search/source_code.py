"""The source of a function or class, wherever it was written."""

import ast
import hashlib
import inspect
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any


def function_of(member: object) -> FunctionType | None:
    """The function of a method, a property, or what is around one."""
    inner = getattr(member, "__func__", getattr(member, "fget", member))
    return inner if isinstance(inner, FunctionType) else None


def source_code(value: Any) -> str:
    """The source of a function or class, without comments and in one layout."""
    members = [value] if isinstance(value, FunctionType) else vars(value).values()
    functions = [function for member in members if (function := function_of(member))]
    for code in (function.__code__ for function in functions):
        try:
            lines, _ = inspect.findsource(code)
            node = next(_nodes(ast.parse("".join(lines)), value, code))
        except (OSError, SyntaxError, StopIteration):
            continue
        return ast.unparse(node)
    content = "".join(_bytecode(function.__code__) for function in functions)
    return f"# {value.__qualname__}, whose source can't be found: {digest(content.encode())}"


def _bytecode(code: CodeType) -> str:
    consts = [_bytecode(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {consts}"


def digest(content: bytes) -> str:
    """The beginning of its SHA-256."""
    return hashlib.sha256(content).hexdigest()[:12]


def _nodes(tree: ast.AST, value: Any, code: CodeType) -> Iterator[ast.AST]:
    """Where in `tree` a class that has `code`, or a function that is it, is written."""
    first = code.co_firstlineno
    last = max(((p[1] or 0, p[3] or 0) for p in code.co_positions()), default=(0, 0))
    for node in ast.walk(tree):
        if isinstance(value, type) and isinstance(node, ast.ClassDef):
            is_it = node.name == value.__name__ and node.lineno <= first <= (node.end_lineno or 0)
        elif isinstance(node, ast.Lambda):
            # Several may begin in one line.
            ends = (node.body.end_lineno, node.body.end_col_offset)
            is_it = code.co_name == "<lambda>" and node.lineno == first and ends == last
        elif isinstance(node, ast.FunctionDef):
            lines = (node.lineno, *(decorator.lineno for decorator in node.decorator_list))
            is_it = node.name == code.co_name and first in lines
        else:
            continue
        if is_it:
            yield node
