"""A YAML 1.2 file as plain data, with the line of every part."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from search.errors import InputError
from search.space.lint import Where
from search.space.values import show


@dataclass
class YamlFile:
    """What a file holds: `data`, the line (from 1) of each key and list item in it, and mistakes by line."""

    data: dict[str, Any] = field(default_factory=dict)
    lines: dict[Where, int] = field(default_factory=dict)
    problems: list[tuple[int, str]] = field(default_factory=list)


def read_yaml(path: Path) -> YamlFile:
    """Read a file whose outermost level is a mapping. Of keys given twice the first counts; all are listed.

    Numbers and words are YAML 1.2's: `1e-3` is a number, `on` and `yes` are text.
    Raises InputError when the file can't be read or is not YAML.
    """
    text = _text(path)
    yaml = YAML(typ="safe", pure=True)
    try:
        root = yaml.compose(text)
        if not isinstance(root, MappingNode):
            what = "is empty" if root is None else "must hold lines like `key: value`"
            raise InputError(f"{path}:1: the file {what}; write `model: NAME`, `params:` and `document:`")
        file = YamlFile(lines={(): 1})
        file.data = _Reader(yaml, file).plain(root, (), ())
    except RecursionError:
        raise InputError(f"{path}: is nested too deeply to be read; make it flatter") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = ", ".join(filter(None, [error.context, error.problem]))
        raise InputError(f"{path}:{mark.line + 1 if mark else 1}: not valid YAML: {said}; correct the line") from None
    except YAMLError as error:
        said = str(error).splitlines()[0]
        raise InputError(f"{path}: not valid YAML: {said}; remove what is not plain text") from None
    return file


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InputError(f"{path}:{line}: not UTF-8 (byte {error.object[error.start]:#x}); save it as UTF-8") from None
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; check the name") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: can't be read ({error}); check the path and its permissions") from None


@dataclass
class _Reader:
    yaml: YAML
    file: YamlFile

    def plain(self, node: Node, where: Where, above: tuple[Node, ...]) -> Any:
        """Read the value of a node, noting lines and mistakes; `above` are the nodes around it."""
        if any(node is n for n in above):
            self.file.problems.append((node.start_mark.line + 1, "an alias (*name) leads back to itself; write it out"))
            return None
        if isinstance(node, MappingNode):
            return self._mapping(node, where, (*above, node))
        if isinstance(node, SequenceNode):
            return self._sequence(node, where, (*above, node))
        return self.yaml.constructor.construct_object(node, deep=True)

    def _sequence(self, node: SequenceNode, where: Where, above: tuple[Node, ...]) -> list[Any]:
        items = []
        for i, item in enumerate(node.value):
            self.file.lines[*where, i] = item.start_mark.line + 1
            items.append(self.plain(item, (*where, i), above))
        return items

    def _mapping(self, node: MappingNode, where: Where, above: tuple[Node, ...]) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = self.plain(key_node, where, above)
            if not isinstance(key, str):
                self.file.problems.append((line, f"the key {show(key)} must be text; put it in quotes"))
                continue
            if key in data:
                first = self.file.lines[*where, key]
                self.file.problems.append((line, f"key {key!r} is given twice, first in line {first}; remove one"))
                continue
            self.file.lines[*where, key] = line
            data[key] = self.plain(value_node, (*where, key), above)
        return data
