"""What is said of data beside where it is: which column is the label, which task it sets."""

from dataclasses import dataclass, fields
from urllib.parse import parse_qsl, urlencode

from search.errors import InputError
from search.records import Task
from search.registry import nearest

TABLES = (".csv", ".tsv", ".parquet")
FILES = (".npz", *TABLES)


@dataclass(frozen=True)
class Options:
    """How a file of arrays or a table is read."""

    label: str | None = None
    """What is to be predicted: a column of a table, or several with commas between."""
    group: str | None = None
    """A column: rows of one value stay together on one side of every split."""
    time: str | None = None
    """A column: the latest rows are the test set, the latest before them validate."""
    task: Task | None = None
    """What targets are where they don't say it."""

    @property
    def text(self) -> str:
        """As a data's name has it after a #: label=price&time=day; empty where nothing is said."""
        pairs = {field.name: getattr(self, field.name) for field in fields(self)}
        return urlencode({name: str(value) for name, value in pairs.items() if value is not None})

    def over(self, others: "Options") -> "Options":
        """These, and of `others` what these don't say."""
        names = [field.name for field in fields(self)]
        chosen = {name: getattr(self, name) or getattr(others, name) for name in names}
        return Options(**chosen)


def options_of(text: str) -> Options:
    """What `Options.text` makes `text` of; a text without = is a label's name. Raises InputError
    for names that are no options.
    """
    if "=" not in text:
        return Options(label=text or None)
    pairs = dict(parse_qsl(text))
    names = [field.name for field in fields(Options)]
    problems = [
        f"#{name}: is not known; {nearest(name, names)}" for name in pairs if name not in names
    ]
    task = pairs.pop("task", None)
    if task is not None and task not in set(Task):
        problems.append(f"#task: {task!r} is not known; {nearest(task, Task)}")
    if problems:
        raise InputError(problems)
    return Options(**pairs, task=None if task is None else Task(task))
