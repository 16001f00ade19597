"""What a user wrote of a model, told apart by its content. None of it is imported."""

import ast
import hashlib
import sysconfig
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.util import resolve_name
from pathlib import Path
from typing import NamedTuple

from search.registry import module_of, pickled_digest, spec_of

CODE = "code "
"""What the names in an environment begin with that hold the digests of a user's files."""
_INSTALLED = {"site-packages", "dist-packages"}
OURS = "search"
_IMPORTERS = {"import_module", "__import__"}


class UserFile(NamedTuple):
    """A file of the user's."""

    folder: Path
    """The folder that it is imported from."""
    digest: str
    """The beginning of its SHA-256."""


def user_code(model: str) -> dict[str, str]:
    """The beginning of the SHA-256 of each of `user_files`, by its path in its import folder.

    An installed package is one entry; Gridless's own models have none, however it is installed. A
    pickled builder has one, the digest of its source.
    """
    if digest := pickled_digest(model):
        return {model.rpartition(":")[2]: digest}
    digests = {path: file.digest for path, file in user_files(model).items()}
    top = _top(model)
    if top != OURS and _is_package_installed(top):
        return {f"{top}, installed": _digest(repr(digests).encode())}
    return digests


def top_files(model: str) -> list[str]:
    """The modules and packages, right in their import folders, that hold `user_files`.

    Empty for an installed model.
    """
    if _is_package_installed(_top(model)):
        return []
    files = user_files(model)
    return sorted({str(file.folder / Path(path).parts[0]) for path, file in files.items()})


def user_files(model: str) -> dict[str, UserFile]:
    """The user's files that build `model`, each by its path in its import folder.

    These are the model's module and all that it imports, directly or not, of its own package, from
    beside that, or from the working folder; what is installed besides is left out. Empty for
    Gridless's own models, and where the module is not on this machine. Imports are read from the
    source: one by a computed name is not seen.
    """
    start = module_of(model)
    top = _top(model)
    homes = {top: _folders(top), OURS: []}
    roots = [Path.cwd(), *homes[top]]
    files: dict[str, UserFile] = {}
    ahead, seen = [start], {""}
    while ahead and top != OURS:
        name = ahead.pop()
        if name in seen:
            continue
        seen.add(name)
        ahead.append(name.rpartition(".")[0])
        first = name.partition(".")[0]
        if first not in homes:
            homes[first] = [folder for folder in _folders(first) if _is_users(folder, roots)]
        for folder in homes[first]:
            if file := _file(folder, name):
                stat = file.stat()
                digest, imports = _read(file, name, stat.st_mtime_ns, stat.st_size)
                files[file.relative_to(folder).as_posix()] = UserFile(folder, digest)
                ahead += imports
    return dict(sorted(files.items()))


def code_facts(code: Mapping[str, str]) -> dict[str, str]:
    """`code` as part of an environment."""
    return {f"{CODE}{file}": digest for file, digest in code.items()}


def code_in(environment: Mapping[str, str]) -> dict[str, str]:
    """The user's code in what a trial ran on; empty where none was recorded."""
    files = {
        name.removeprefix(CODE): digest
        for name, digest in environment.items()
        if name.startswith(CODE)
    }
    return without_ours(files)


def without_ours(code: Mapping[str, str]) -> dict[str, str]:
    """`code` without Gridless's own package, which earlier versions named where it was installed
    from a wheel.
    """
    return {name: digest for name, digest in code.items() if name != f"{OURS}, installed"}


def code_difference(then: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Which files changed, came or went, in words; empty if none did."""
    groups = {
        "changed": [file for file in now if file in then and then[file] != now[file]],
        "new": [file for file in now if file not in then],
        "gone": [file for file in then if file not in now],
    }
    return "; ".join(f"{word}: {', '.join(files)}" for word, files in groups.items() if files)


def _top(model: str) -> str:
    """The name of the top-level module of `model`."""
    return module_of(model).partition(".")[0]


def _is_package_installed(top: str) -> bool:
    return any(map(is_installed, _folders(top)))


def _folders(top: str) -> list[Path]:
    """The folders that the top-level module `top` would be imported from."""
    spec = spec_of(top)
    if spec is None:
        return []
    if spec.submodule_search_locations:
        return [Path(place).parent for place in spec.submodule_search_locations]
    return [Path(spec.origin).parent] if spec.has_location and spec.origin else []


def _is_users(folder: Path, roots: list[Path]) -> bool:
    return not is_installed(folder) and any(folder.is_relative_to(root) for root in roots)


def is_installed(folder: Path) -> bool:
    """Whether what is in `folder` is a package's or Python's own, and nothing that a user wrote."""
    return bool(_INSTALLED.intersection(folder.parts)) or folder.is_relative_to(
        sysconfig.get_path("stdlib")
    )


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def _file(folder: Path, name: str) -> Path | None:
    base = folder.joinpath(*name.split("."))
    return next(
        (f for f in (base / "__init__.py", base.with_name(f"{base.name}.py")) if f.is_file()), None
    )


@lru_cache(maxsize=4096)
def _read(file: Path, name: str, _mtime_ns: int, _size: int) -> tuple[str, tuple[str, ...]]:
    """A module's digest and imports; read once for as long as its time and size stay."""
    content = file.read_bytes()
    digest = _digest(content)
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    try:
        return digest, tuple(_imports(ast.parse(content), package))
    except (SyntaxError, ValueError, RecursionError):  # importing it will say so
        return digest, ()


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Absolute names of modules that may be imported anywhere in `tree`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            dots = "." * node.level
            if dots and not package:
                continue
            base = resolve_name(dots + (node.module or ""), package) if dots else str(node.module)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "attr", getattr(node.func, "id", None))
            if called in _IMPORTERS and isinstance(node.args[0].value, str):
                yield node.args[0].value
