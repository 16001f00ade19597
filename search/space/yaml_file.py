"""A YAML 1.2 file as plain data, with the line of every part."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from search.errors import InputError
from search.space.problems import Where
from search.space.values import show
from search.text import cut, text_problem, visible
from search.untrusted import MAX_VALUES, MAX_YAML_BYTES, opened

_MERGE = "tag:yaml.org,2002:merge"
_EMPTY = "is empty; write `model: NAME`, `params:` and `document:`"
_NO_MAPPING = "must hold lines like `key: value`; write `model: NAME`, `params:` and `document:`"
_TOO_MANY = f"holds more than {MAX_VALUES:,} values, aliases written out; make it shorter"


@dataclass
class YamlFile:
    """A file's `data`, the line (from 1) of each key and list item, and mistakes by line."""

    data: dict[str, Any] = field(default_factory=dict)
    lines: dict[Where, int] = field(default_factory=dict)
    problems: list[tuple[int, str]] = field(default_factory=list)


def read_yaml(path: Path, *, may_be_empty: bool = False) -> YamlFile:
    """Read a file whose outermost level is a mapping. Of keys given twice the first counts; all are
    listed.

    Numbers and words are YAML 1.2's: `1e-3` is a number, `on` and `yes` are text. Raises InputError
    when the file can't be read, is not YAML, or holds more than MAX_VALUES values.
    """
    text = _text(path)
    yaml = _yaml()
    try:
        root = yaml.compose(text)
        if root is None and may_be_empty:
            return YamlFile()
        if not isinstance(root, MappingNode):
            raise InputError(f"{path}:1: the file {_NO_MAPPING if root else _EMPTY}")
        file = YamlFile(lines={(): 1})
        file.data = _Reader(yaml, file).plain(root, (), ())
    except _TooManyError:
        raise InputError(f"{path}: {_TOO_MANY}") from None
    except RecursionError:
        raise InputError(f"{path}: is nested too deeply to be read; make it flatter") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = ", ".join(filter(None, [error.context, error.problem]))
        raise InputError(
            f"{path}:{mark.line + 1 if mark else 1}: not valid YAML: {reason}; correct the line"
        ) from None
    except YAMLError as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{path}: not valid YAML: {reason}; remove what is not plain text"
        ) from None
    return file


def typed(text: str) -> Any:
    """What a value typed on the command line means in YAML; the text itself where it is none."""
    yaml, file = _yaml(), YamlFile()
    try:
        root = yaml.compose(text)
        value = None if root is None else _Reader(yaml, file).plain(root, (), ())
    except (YAMLError, RecursionError, _TooManyError):
        return text
    return text if file.problems else value


class _TooManyError(Exception):
    """The file holds more than MAX_VALUES values."""


class _Composer(Composer):
    """Gives up on a file that is too long, before its end."""

    n_nodes = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.n_nodes += 1
        if self.n_nodes > MAX_VALUES:
            raise _TooManyError
        return super().compose_node(parent, index)


def _yaml() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _Composer
    return yaml


def _text(path: Path) -> str:
    try:
        with opened(path) as file:
            content = file.read(MAX_YAML_BYTES + 1)
        if len(content) > MAX_YAML_BYTES:
            raise InputError(f"{path}: {_TOO_MANY}")
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InputError(
            f"{path}:{line}: not UTF-8 (byte {error.object[error.start]:#x}); save it as UTF-8"
        ) from None
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; check the name") from None
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: can't be read ({error}); check the path and its permissions"
        ) from None


@dataclass
class _Reader:
    yaml: YAML
    file: YamlFile
    n_values: int = 0

    def plain(self, node: Node, where: Where, above: tuple[Node, ...]) -> Any:
        """Read the value of a node, noting lines and mistakes; `above` are the nodes around it."""
        self.n_values += 1
        if self.n_values > MAX_VALUES:  # aliases of aliases grow without end
            raise _TooManyError
        if any(node is n for n in above):
            self.file.problems.append(
                (node.start_mark.line + 1, "an alias (*name) leads back to itself; write it out")
            )
            return None
        if isinstance(node, MappingNode):
            return self._mapping(node, where, (*above, node))
        if isinstance(node, SequenceNode):
            return self._sequence(node, where, (*above, node))
        return self._scalar(node)

    def _scalar(self, node: Node) -> Any:
        try:
            value = self.yaml.constructor.construct_object(node, deep=True)
            problem = text_problem(value, lines=True) if isinstance(value, str) else None
        except (ValueError, TypeError, AttributeError, LookupError, OverflowError) as error:
            value, problem = (
                None,
                f"{cut(node.value, 40)!r} is no value ({error}); put it in quotes if it is text",
            )
        if problem:
            self.file.problems.append((node.start_mark.line + 1, problem))
        return visible(value) if isinstance(value, str) else value

    def _sequence(self, node: SequenceNode, where: Where, above: tuple[Node, ...]) -> list[Any]:
        items = []
        for i, item in enumerate(node.value):
            self.file.lines[*where, i] = item.start_mark.line + 1
            items.append(self.plain(item, (*where, i), above))
        return items

    def _mapping(self, node: MappingNode, where: Where, above: tuple[Node, ...]) -> dict[str, Any]:
        data: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == _MERGE:
                merged = self._merged(value_node, where, above) | merged
                continue
            key = self.plain(key_node, where, above)
            if not isinstance(key, str):
                self.file.problems.append(
                    (line, f"the key {show(key)} must be text; put it in quotes")
                )
                continue
            if key in data:
                first = self.file.lines[*where, key]
                self.file.problems.append(
                    (line, f"key {key!r} is given twice, first in line {first}; remove one")
                )
                continue
            self.file.lines[*where, key] = line
            data[key] = self.plain(value_node, (*where, key), above)
        return merged | data

    def _merged(self, node: Node, where: Where, above: tuple[Node, ...]) -> dict[str, Any]:
        """What `<<: *name` or `<<: [*name, *other]` brings; the first of a key counts."""
        values = self.plain(node, (*where, "<<"), above)
        mappings = values if isinstance(values, list) else [values]
        if not all(isinstance(m, dict) for m in mappings):
            self.file.problems.append(
                (node.start_mark.line + 1, "<< takes mappings only; write the keys out")
            )
            return {}
        merged: dict[str, Any] = {}
        for mapping in reversed(mappings):
            merged |= mapping
        return merged
