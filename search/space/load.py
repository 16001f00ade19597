"""Spaces from YAML files: every mistake at once with file and line, and `extends`."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from search.errors import InputError
from search.registry import data_folders, nearest
from search.space.problems import Where, lint, place
from search.space.space import Space
from search.space.values import show
from search.space.yaml_file import read_yaml

_MERGED = ("params", "document")
_BASELINE = "baseline"
"""Another name of `document`, for models that have none."""


class _Mistake(NamedTuple):
    file: str
    line: int
    text: str


@dataclass(frozen=True)
class _Source:
    """A space's plain data, the file and line of each part, and mistakes so far."""

    data: dict[str, Any]
    lines: dict[Where, tuple[str, int]]
    mistakes: tuple[_Mistake, ...]
    calls_it_baseline: bool = False

    def mistake(self, where: Where, text: str) -> _Mistake:
        """One at the line of the innermost known part that leads to `where`."""
        path = next(where[:n] for n in range(len(where), -1, -1) if where[:n] in self.lines)
        shown = (
            (_BASELINE, *where[1:])
            if self.calls_it_baseline and where[:1] == ("document",)
            else where
        )
        return _Mistake(*self.lines[path], f"{place(shown)}: {text}" if where else text)


def load_space(path: str | Path) -> Space:
    """Read the space in a YAML 1.2 file, with all that it extends.

    A file's parameters and document are merged over the parent's name by name: a parameter that
    gives its `type` replaces the inherited one, one without changes only the keys it gives, and
    `name: null` removes it together with the conditions on it. Other keys replace the parent's.
    `published` is a figure of one model, so it is inherited only where the model stays the same.
    Raises InputError with every mistake of the file as `file:line: rule, value, remedy`.
    """
    source = _read(Path(path), ())
    mistakes = [*source.mistakes, *(source.mistake(p.where, p.text) for p in lint(source.data))]
    if mistakes:
        raise _error(mistakes)
    return Space.model_validate(source.data)


def _error(mistakes: Iterable[_Mistake]) -> InputError:
    return InputError([f"{m.file}:{m.line}: {m.text}" for m in sorted(set(mistakes))])


def find_space(model: str, path: str | Path | None = None) -> Path:
    """Find the space file of `model`: `path` if given, else the first `<model>.yaml` of a folder
    for spaces.

    Of a model named `package.module:function` it is `<function>.yaml`. Raises InputError when there
    is none.
    """
    if path is not None:
        return Path(path)
    name = model.rpartition(":")[2]
    folders = data_folders("spaces")
    for folder in folders:
        file = folder / f"{name}.yaml"
        if file.is_file():
            return file
    tried = ", ".join(map(str, folders)) or "no folder named spaces"
    raise InputError(
        f"space: no {name}.yaml for model {model!r}; tried {tried}; write spaces/{name}.yaml,"
        f" which may extend another space, or give --space FILE; {nearest(name, _names(folders))}"
    )


def _names(folders: list[Path]) -> list[str]:
    files = chain.from_iterable(folder.glob("*.yaml") for folder in folders)
    return [file.stem for file in files]


def _read(path: Path, chain: tuple[Path, ...]) -> _Source:
    file = read_yaml(path)
    lines = {where: (str(path), line) for where, line in file.lines.items()}
    source = _renamed(
        _Source(file.data, lines, tuple(_Mistake(str(path), *p) for p in file.problems))
    )
    if "extends" not in source.data:
        return source
    chain = (*chain, path.resolve())
    parent = _parent(source.data["extends"], path, chain)
    if isinstance(parent, str):
        # Without its parent nearly everything would be called missing, so only this is said.
        raise _error([*source.mistakes, source.mistake(("extends",), parent)])
    return _merged(_read(parent, chain), source)


def _renamed(source: _Source) -> _Source:
    """`source` with its `baseline` as the document that it is another name of."""
    if _BASELINE not in source.data:
        return source
    if "document" in source.data:
        twice = source.mistake(
            (_BASELINE,), "is another name of `document`, which is there, too; remove one"
        )
        raise _error([*source.mistakes, twice])
    data = {"document" if key == _BASELINE else key: value for key, value in source.data.items()}
    lines = {
        ("document", *w[1:]) if w[:1] == (_BASELINE,) else w: at for w, at in source.lines.items()
    }
    return _Source(data, lines, source.mistakes, calls_it_baseline=True)


def _parent(name: Any, path: Path, chain: tuple[Path, ...]) -> Path | str:
    """Find the file that `path` extends by `name`; a sentence if there is none."""
    if not isinstance(name, str) or Path(name).name != name:
        return f"must be the name of a space, without folder or ending, not {show(name)}"
    folders = list(dict.fromkeys([path.parent.resolve(), *data_folders("spaces")]))
    files = [f for folder in folders if (f := folder / f"{name}.yaml").is_file()]
    # A user's own convNN.yaml may extend the shipped convNN.
    others = [f for f in files if f.resolve() != path.resolve()]
    if others and others[0].resolve() not in chain:
        return others[0]
    if files:
        around = " → ".join([*(p.stem for p in chain), name])
        return f"spaces extend each other in a circle, {around}; take one `extends` away"
    tried = ", ".join(map(str, folders))
    return f"there is no space {name!r} in {tried}; {nearest(name, _names(folders))}"


def _merged(parent: _Source, child: _Source) -> _Source:
    document = {k: v for k, v in child.data.items() if k != "extends"}
    inherited = dict(parent.data)
    if document.get("model", inherited.get("model")) != inherited.get("model"):
        inherited.pop("published", None)
    mistakes = [child.mistake(where, text) for where, text in _removed_in_vain(inherited, document)]
    inherited = _without_removed(inherited, document.get("params"))
    data = inherited | document
    for key in _MERGED:
        mine, theirs = document.get(key), inherited.get(key)
        if isinstance(mine, Mapping) and isinstance(theirs, Mapping):
            data[key] = _over(theirs, mine) if key == "params" else {**theirs, **mine}
    says_baseline = child.calls_it_baseline or (
        "document" not in child.data and parent.calls_it_baseline
    )
    return _Source(
        data,
        parent.lines | child.lines,
        (*parent.mistakes, *child.mistakes, *mistakes),
        says_baseline,
    )


def _removed_in_vain(
    inherited: Mapping[str, Any], document: Mapping[str, Any]
) -> Iterator[tuple[Where, str]]:
    """Names set to null that there is nothing to remove of."""
    theirs = inherited.get("params")
    mine = document.get("params")
    if isinstance(theirs, Mapping) and isinstance(mine, Mapping):
        for name, param in mine.items():
            if param is None and name not in theirs:
                yield (
                    ("params", name),
                    f"can't be removed, since it is not inherited; {nearest(name, theirs)}",
                )


def _without_removed(inherited: Mapping[str, Any], params: Any) -> dict[str, Any]:
    """Drop parameters set to null, with their document values and the conditions on them."""
    gone = (
        {name for name, param in params.items() if param is None}
        if isinstance(params, Mapping)
        else set()
    )
    data = dict(inherited)
    for key in _MERGED:
        if isinstance(data.get(key), Mapping):
            data[key] = {n: _freed(v, gone) for n, v in data[key].items() if n not in gone}
    return data


def _freed(param: Any, gone: set[str]) -> Any:
    if not isinstance(param, Mapping) or not isinstance(param.get("when"), Mapping):
        return param
    when = {parent: values for parent, values in param["when"].items() if parent not in gone}
    return {**param, "when": when} if when else {k: v for k, v in param.items() if k != "when"}


def _over(theirs: Mapping[str, Any], mine: Mapping[str, Any]) -> dict[str, Any]:
    data = dict(theirs)
    for name, param in mine.items():
        if param is None:
            continue
        changes = (
            isinstance(param, Mapping)
            and "type" not in param
            and isinstance(theirs.get(name), Mapping)
        )
        data[name] = {**theirs[name], **param} if changes else param
    return data
