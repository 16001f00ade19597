"""The network of a study's champion in its folder, once it was seen to work."""

import json
import logging
import shutil
import tempfile
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from search.artifacts import join, reading
from search.errors import GridlessError, InputError
from search.files import whole_file, write_text
from search.paths import home, storage_url
from search.records import Search
from search.report.read_evidence import is_there
from search.study.finalists import champion, replicate_file, replicates_of
from search.study.read_settings import read_settings
from search.study.storage.read import check_name, open_library, stored_studies
from search.training.kept_network import FACTS, FILE, WEIGHTS, Verdict
from search.training.verify import verify

logger = logging.getLogger(__name__)
_NAMES = tuple(f"model{kind}" for kind in (FILE, WEIGHTS, FACTS))
_SEEN = ".model.json"
"""Which network was seen to work, and how: it takes seconds to see."""


class KeptModel(NamedTuple):
    """The file of the champion's network, if there is one that works, and what to tell of it."""

    path: Path | None = None
    note: str | None = None


def keep_model(search: Search, evidence: str | Path, folder: Path) -> KeptModel:
    """Bring the champion's network into `folder`; remove an older one where there is none.

    It was loaded before in a fresh process, and said of images what it had said as it was trained.
    What an earlier finalist left stays until a new best trial has been trained again, too. Raises
    OSError.
    """
    replicates = replicates_of(search)
    number = champion(search)
    model = str(search.study.spec.get("model", ""))
    if number is None and replicates:
        return kept_already(folder, model)
    if number is None:
        _remove(folder, (*_NAMES, _SEEN))
        return KeptModel()
    stem = join(evidence, replicate_file(number)).removesuffix(FILE)
    with tempfile.TemporaryDirectory(prefix="gridless-") as new:
        try:
            there = [n for n in _NAMES if _fetch(stem + n.removeprefix("model"), Path(new, n))]
            is_out_of_reach = not there and not is_there(evidence)
        except OSError as error:
            logger.warning("the network of replicate %d can't be fetched: %s", number, error)
            is_out_of_reach = True
        if is_out_of_reach:
            left = kept_already(folder, model)
            return left._replace(path=left.path and older(left.path))
        return _bring(Path(new), there, folder, model)


def older(path: Path) -> Path:
    """An earlier report's file at `path`, whose source is out of reach."""
    logger.warning(
        "%s is left as an earlier report wrote it: what it is made from is out of reach", path
    )
    return path


def _bring(new: Path, there: list[str], folder: Path, model: str) -> KeptModel:
    """See which of the files `there` in the folder `new` work, and copy these to `folder`."""
    if not there:
        _remove(folder, (*_NAMES, _SEEN))
        return KeptModel()
    digest = sha256((new / there[-1]).read_bytes()).hexdigest()
    if (
        (seen := _read_seen(folder))
        and seen["digest"] == digest
        and (folder / _main(seen["how"])).is_file()
    ):
        return kept_already(folder, model)
    try:
        verdict = verify(new, model)
    except GridlessError as error:
        verdict = Verdict(None, str(error))
    used = {"weights": [WEIGHTS, FACTS], None: []}.get(verdict.how, [FILE, WEIGHTS, FACTS])
    _remove(folder, [*_NAMES, _SEEN])
    for name in there:
        if name.removeprefix("model") in used:
            with (new / name).open("rb") as source, whole_file(folder / name) as target:
                shutil.copyfileobj(source, target)
    why_not = {} if verdict.how else {"problem": verdict.problem}
    write_text(folder / _SEEN, json.dumps({"digest": digest, "how": verdict.how} | why_not))
    if verdict.how is None:
        return KeptModel(note=f"can't be used: {verdict.problem}")
    return kept_already(folder, model)


def _fetch(location: str, path: Path) -> bool:
    try:
        with reading(location) as source, path.open("wb") as target:
            shutil.copyfileobj(source, target)
    except FileNotFoundError:
        return False
    return True


def kept_already(folder: Path, model: str) -> KeptModel:
    """The network that an earlier report left in `folder`."""
    seen = _read_seen(folder)
    if seen is None:
        return KeptModel(
            next((folder / name for name in _NAMES[:2] if (folder / name).is_file()), None)
        )
    module = model.partition(":")[0]
    notes = {
        "alone": "it stands alone: Keras loads it anywhere",
        "module": f"its layers are in {module}, which must be in reach where it is loaded",
        "weights": (
            "weights only, since Keras can't load this network from a file: `gridless predict` and"
            f" load_study(…).model() build it again by {model}, whose module must be in reach"
        ),
    }
    path = folder / _main(seen["how"])
    return KeptModel(path, notes[seen["how"]]) if path.is_file() else KeptModel()


def how_kept(folder: Path) -> str | None:
    """How the network in `folder` was seen to work, as a Verdict says; None if nobody looked."""
    seen = _read_seen(folder)
    return seen["how"] if seen else None


def why_unusable(folder: Path) -> str | None:
    """Why the champion's network in `folder` could not be used when it was last tried."""
    return _stored(folder).get("problem")


def _read_seen(folder: Path) -> dict[str, str] | None:
    seen = _stored(folder)
    return seen if seen.get("how") in {"alone", "module", "weights"} and "digest" in seen else None


def _stored(folder: Path) -> dict[str, str]:
    with suppress(OSError, ValueError):
        stored = json.loads((folder / _SEEN).read_text())
        return stored if isinstance(stored, dict) else {}
    return {}


def _main(how: str) -> str:
    return f"model{WEIGHTS if how == 'weights' else FILE}"


def _remove(folder: Path, names: list[str] | tuple[str, ...]) -> None:
    for name in names:
        (folder / name).unlink(missing_ok=True)


def model_file(study: str) -> Path:
    """The network of a study's best finalist, or its weights where it has no file of its own.

    Raises InputError when there is none, or no such study.
    """
    check_name(study)
    places = [home() / study / f"model{kind}" for kind in (FILE, WEIGHTS)]
    if path := next((path for path in places if path.is_file()), None):
        return path
    stored_studies(open_library(storage_url()), study)
    if problem := why_unusable(home() / study):
        rule = f"the network of study {study!r} can't be used: {problem}"
        raise InputError(f"{rule}; once that is mended, `gridless report {study}` tries it again")
    rule = f"study {study!r} has no network yet ({places[0]}); its finalists make one"
    raise InputError(f"{rule}: give its `gridless study` command again with --finalists 1 or more")


def builder_name(study: str) -> str:
    """The study's model, empty where its folder doesn't say: most networks need only Keras."""
    path = home() / study / "study.yaml"
    return str(read_settings(path).get("model", "")) if path.is_file() else ""
