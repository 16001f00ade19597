"""What a person's builder does, as text that two of them are compared by: its source, that of what
it calls, and the values that it uses from around it.

Pickled bytes differ from one notebook cell to the next; this does not. Weights of layers are not
part of it.
"""

import ast
import dis
import enum
import functools
import hashlib
import inspect
import json
import pickle
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from search.user_code import OURS, is_installed

MAX_BYTES = 2**20
"""Of a builder with all that it uses: it is stored with the study, and read by each worker."""
_PLAIN = (bool, int, float, complex, str, bytes, enum.Enum, type(None), type(...))
_NUMBERED = re.compile(r"_\d+(?=[\"'/])")
"""What Keras counts up in names of layers that have none, from one cell to the next."""
_READS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
_UNSAID = {"__main__", "builtins", "None"}


class BuilderSource:
    """The texts of a builder, each by the name of what it is of, and the values that it uses."""

    def __init__(self, builder: object) -> None:
        self.texts: dict[str, str] = {}
        self.values: list[tuple[str, Any]] = []
        """What it uses that is neither code nor plain, with the name by which it does."""
        self.modules: set[ModuleType] = set()
        """A person's own, which no other process may find."""
        self._titles: dict[int, str] = {}
        """Of the code that was read, by the id of each object."""
        self._around: list[object] = []
        """The values that are being read, each in the one before it."""
        self.texts["builder"] = self._read("build", builder)

    def _read(self, name: str, value: Any) -> str:
        """A text of `value`, called `name` where it is used; of code it goes into `texts`."""
        if isinstance(value, _PLAIN):
            return repr(value)
        if isinstance(value, ModuleType | type | FunctionType):
            return self._code(value)
        if any(value is outer for outer in self._around):
            return title_of(value)
        self._around.append(value)
        try:
            return self._of_value(name, value)
        finally:
            self._around.pop()

    def _of_value(self, name: str, value: Any) -> str:
        if isinstance(value, MethodType):
            return f"{self._read(name, value.__self__)}.{self._read(name, value.__func__)}"
        if isinstance(value, functools.partial):
            return f"partial {self._read(name, [value.func, value.args, value.keywords])}"
        if isinstance(value, Mapping):
            items = (f"{self._read(name, k)}: {self._read(name, v)}" for k, v in value.items())
            return f"{{{', '.join(items)}}}"
        if isinstance(value, list | tuple | set | frozenset):
            parts = [self._read(name, part) for part in value]
            is_ordered = isinstance(value, list | tuple)
            return f"[{', '.join(parts if is_ordered else sorted(parts))}]"
        self.values.append((name, value))
        return self._of_object(name, value)

    def _of_object(self, name: str, value: Any) -> str:
        kind = self._read(name, type(value))
        if size_of(value) > MAX_BYTES:  # it can't be stored
            return kind
        # Either may fail: a symbolic tensor is no array, and not every layer has a configuration.
        with suppress(Exception):
            if hasattr(value, "dtype") and hasattr(value, "shape"):
                content = np.asarray(value)
                return f"{content.dtype} {content.shape} {_digest(pickle.dumps(content))}"
            if callable(getattr(value, "get_config", None)):
                config = json.dumps(value.get_config(), default=title_of, sort_keys=True)
                return f"{kind} {_NUMBERED.sub('', config)}"
        if _is_users(type(value)):
            return f"{kind} {self._read(name, _state(value))}"
        text = repr(value)
        return kind if " at 0x" in text else text

    def _code(self, value: Any) -> str:
        """The name of a module, class or function; a person's own goes into `texts`."""
        if id(value) in self._titles or not _is_users(value):
            return self._titles.get(id(value), title_of(value))
        title = title_of(value)
        twins = sum(other.partition("#")[0] == title for other in self._titles.values())
        title = f"{title}#{twins + 1}" if twins else title
        self._titles[id(value)] = title
        if isinstance(value, ModuleType):
            self._module(value)
            return title
        if value.__module__ != "__main__":
            self._module(sys.modules[value.__module__])
        self.texts[title] = _source(value)
        lines = self._of_class(value) if isinstance(value, type) else self._of_function(value)
        self.texts[title] = "\n".join([self.texts[title], *dict.fromkeys(lines)])
        return title

    def _module(self, module: ModuleType) -> None:
        """A module of a person's, and what it imports of such, as a whole."""
        if module in self.modules or module.__name__ == "__main__":
            return
        self.modules.add(module)
        self.texts[module.__name__] = inspect.getsource(module)
        for other in vars(module).values():
            name = other.__name__ if isinstance(other, ModuleType) else _module_of(other)
            if name in sys.modules and _is_users(sys.modules[name]):
                self._module(sys.modules[name])

    def _of_function(self, function: FunctionType) -> Iterator[str]:
        """What `function` uses from around it, a line each."""
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        names = {name: cell.cell_contents for name, cell in cells if _is_full(cell)}
        own = function.__globals__
        names |= {name: own[name] for name in _globals_of(function.__code__) if name in own}
        names |= {"defaults": function.__defaults__, "named defaults": function.__kwdefaults__}
        names |= {"around": getattr(function, "__wrapped__", None)}
        for name, value in sorted(names.items()):
            if value is not None:
                yield f"# {name} = {self._read(name, value)}"

    def _of_class(self, kind: type) -> Iterator[str]:
        """What its bases and methods use from around it, a line each."""
        yield from (f"# from {self._read(base.__name__, base)}" for base in kind.__bases__)
        for member in vars(kind).values():
            function = _function_of(member)
            if function and _is_users(function):
                yield from self._of_function(function)


def title_of(value: Any) -> str:
    """The name of a module, class or function, or of the class of anything else."""
    if isinstance(value, ModuleType):
        return value.__name__
    named = value if isinstance(value, type) or inspect.isroutine(value) else type(value)
    module = _module_of(named)
    name = named.__qualname__.rpartition("<locals>.")[2]
    return name if module in _UNSAID else f"{module}.{name}"


def size_of(value: object) -> int:
    """The bytes of an array; 0 of anything else."""
    n_bytes = getattr(value, "nbytes", 0)
    return n_bytes if isinstance(n_bytes, int) else 0


def _state(value: object) -> dict[str, Any]:
    """The attributes of an object, in slots or not."""
    names = [slot for kind in type(value).__mro__ for slot in getattr(kind, "__slots__", ())]
    slots = {name: getattr(value, name) for name in names if hasattr(value, name)}
    return slots | getattr(value, "__dict__", {})


def _is_full(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:  # it is filled later
        return False


def _globals_of(code: CodeType) -> set[str]:
    """The global names that `code`, or any function or class in it, reads."""
    names = {i.argval for i in dis.get_instructions(code) if i.opname in _READS}
    inner = (const for const in code.co_consts if isinstance(const, CodeType))
    return names.union(*map(_globals_of, inner))


def _is_users(value: Any) -> bool:
    """Whether a module, or what is defined in one, is a person's own."""
    name = value.__name__ if isinstance(value, ModuleType) else _module_of(value)
    module = sys.modules.get(name)
    if module is None or name == "__main__":
        return module is not None
    file = getattr(module, "__file__", None)
    return file is not None and name.partition(".")[0] != OURS and not is_installed(Path(file))


def _module_of(value: object) -> str:
    return str(getattr(value, "__module__", ""))


def _function_of(member: object) -> FunctionType | None:
    """The function of a method, a property, or what is around one."""
    inner = getattr(member, "__func__", getattr(member, "fget", member))
    return inner if isinstance(inner, FunctionType) else None


def _source(value: Any) -> str:
    """The source of a function or class, without comments and in one layout."""
    members = [value] if isinstance(value, FunctionType) else vars(value).values()
    functions = [function for member in members if (function := _function_of(member))]
    for code in (function.__code__ for function in functions):
        try:
            lines, _ = inspect.findsource(code)
            node = next(_nodes(ast.parse("".join(lines)), value, code))
        except (OSError, SyntaxError, StopIteration):
            continue
        return ast.unparse(node)
    parts = [f"{f.__code__.co_code.hex()}{f.__code__.co_names}" for f in functions]
    return f"# {title_of(value)}, whose source can't be found: {_digest(''.join(parts).encode())}"


def _digest(content: bytes) -> str:
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
