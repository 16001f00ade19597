"""What a person's builder does, as text that two of them are compared by: its source, that of what
it calls, and the values that it uses from around it.

Pickled bytes differ from one notebook cell to the next; this does not. Weights of layers are not
part of it.
"""

import dis
import enum
import functools
import inspect
import pickle
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from search.source_code import digest, function_of, source_code
from search.user_code import OURS, is_installed

MAX_BYTES = 2**20
"""Of a builder with all that it uses: it is stored with the study, and read by each worker."""
_PLAIN = (bool, int, float, complex, str, bytes, enum.Enum, type(None), type(...))
_NUMBERED = re.compile(r"_\d+(?=[\"'/])")
"""What Keras counts up in names of layers that have none, from one cell to the next."""
_MADE_UP = {"seed", "build_config", "build_input_shape", "shared_object_id"}
"""What Keras adds to configurations by chance, or once a layer was called."""
_UNTOLD = {*_MADE_UP, "module", "registered_name"}
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
                return f"{content.dtype} {content.shape} {digest(pickle.dumps(content))}"
            if callable(getattr(value, "get_config", None)):
                return f"{kind} {_configuration(value.get_config())}"
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
        self.texts[title] = source_code(value)
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
            function = function_of(member)
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


def _configuration(config: Any) -> str:
    """What a layer, or a part of one, was made with."""
    if isinstance(config, Mapping) and "class_name" in config:
        return f"{config['class_name']}({_configuration(config.get('config') or {})})"
    if isinstance(config, Mapping):
        told = {key: value for key, value in config.items() if key not in _UNTOLD}
        return ", ".join(f"{key}={_configuration(value)}" for key, value in sorted(told.items()))
    if isinstance(config, list | tuple):
        parts = [_configuration(part) for part in config]
        # A network that was called has one more, of its inputs.
        return f"[{', '.join(part for part in parts if not part.startswith('InputLayer('))}]"
    return _NUMBERED.sub("", repr(config) if isinstance(config, _PLAIN) else title_of(config))


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
