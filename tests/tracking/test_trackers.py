"""Which trackers there are, what each of ours does beyond the contract, and one of a user's own."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest

from search.errors import InputError
from search.study import tracker_choice
from search.study.settings import Settings
from search.study.storage.ledger import Ledger
from search.study.storage.read import find_study
from search.study.storage.removal import delete_rows
from search.study.storage.tracked import Ids
from search.tracking.load import check_ready
from search.tracking.process import Request, bring_now
from search.tracking.protocol import NotReadyError
from tests.study.helpers import begin, epoch, spec, store_place
from tests.tracking.helpers import ME, mirror
from tests.tracking.readers import read_tensorboard

DOCS = (Path(__file__).resolve().parents[2] / "docs" / "trackers.md").read_text(encoding="utf-8")


@pytest.fixture
def documented(tmp_path, monkeypatch):
    """The tracker of docs/trackers.md, installed."""
    code, project = (
        re.search(f"```{kind}\n(.*?)```", DOCS, re.S)[1] for kind in ("python", "toml")
    )
    table = tomllib.loads(project)
    site = tmp_path / "site"
    installed = site / f"json_files-{table['project']['version']}.dist-info"
    installed.mkdir(parents=True)
    (site / f"{table['tool']['setuptools']['py-modules'][0]}.py").write_text(code)
    lines = [f"Name: {table['project']['name']}", f"Version: {table['project']['version']}"]
    (installed / "METADATA").write_text("\n".join(lines))
    entries = table["project"]["entry-points"]["gridless.trackers"]
    points = [f"{name} = {value}" for name, value in entries.items()]
    (installed / "entry_points.txt").write_text("\n".join(["[gridless.trackers]", *points]))
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.syspath_prepend(str(site))
    assert "json_files" in {
        point.name for point in metadata.entry_points(group="gridless.trackers")
    }


def test_the_documented_tracker_of_ten_lines_works(documented, ledger, storage, tmp_path):
    assert Settings(tracker=["json_files"]).tracker == ("json_files",)
    ledger.complete(begin(ledger, ME, [0.1, 0.2]), 0.2)
    begin(ledger, ME, [0.3])
    store_place(ledger, replace(ledger.place(), trackers=("json_files",)))
    log = tmp_path / "log"
    finished = bring_now(Request(storage.url), log)
    assert finished["json_files"].error is None, log.read_text()
    assert (finished["json_files"].n_sent, finished["json_files"].left) == (2, ())
    said = json.loads((tmp_path / "trials" / "mlp-digits-0.json").read_text())
    assert said == {"state": "COMPLETE", "optimizer": "adam", "lr": 0.01, "units": 16, "best": 0.2}


def test_what_a_tracker_prints_is_no_answer(documented, ledger, storage, tmp_path):
    module = tmp_path / "site" / "json_files.py"
    printing = "import os\nos.system('echo from a child')\nprint('hello')\n"
    module.write_text(printing + module.read_text())
    begin(ledger, ME, [0.1])
    store_place(ledger, replace(ledger.place(), trackers=("json_files",)))
    assert bring_now(Request(storage.url), tmp_path / "log")["json_files"].left == ()
    assert "hello" in (tmp_path / "log").read_text()


def test_a_tracker_that_can_not_be_imported_is_said_and_holds_up_no_other(
    documented, ledger, uri, storage, tmp_path
):
    (tmp_path / "site" / "json_files.py").write_text("import not_there")
    begin(ledger, ME, [0.1])
    store_place(ledger, replace(ledger.place(), trackers=("json_files", "mlflow")))
    for only_shared in (False, True):
        request = Request(storage.url, only_shared=only_shared)
        finished = bring_now(request, tmp_path / "log")
        assert "not_there" in (tmp_path / "log").read_text()
        if not only_shared:
            assert "not_there" in finished["json_files"].error
            assert finished["mlflow"].left == ()


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        (["tensorbord"], r"did you mean 'tensorboard'\?"),
        (["mlflw", "wand"], r"did you mean 'mlflow'\?; .*did you mean 'wandb'\?"),
        (["none", "mlflow"], "none goes with no other"),
        (["xyzzy"], "known: .*mlflow, none, tensorboard, wandb"),
    ],
)
def test_an_unknown_tracker_is_refused_with_what_was_meant(monkeypatch, given, rule):
    monkeypatch.setattr(tracker_choice, "names", lambda _group: ["mlflow", "tensorboard", "wandb"])
    with pytest.raises(ValueError, match=rule):
        tracker_choice.chosen_trackers(given)


def test_an_extra_that_is_not_installed_is_named_with_its_command(monkeypatch):
    monkeypatch.setattr(tracker_choice, "names", lambda _group: ["mlflow", "wandb"])
    monkeypatch.setattr(tracker_choice, "find_spec", lambda _name: None)
    problem = tracker_choice.tracker_problem("wandb")
    assert problem == "wandb is not installed; pip install 'gridless[wandb]' does that"


@pytest.fixture
def tensorboard():
    pytest.importorskip("tensorboard")
    from search.tracking.tensorboard.tracker import TensorBoardTracker

    return TensorBoardTracker


@pytest.mark.usefixtures("tensorboard")
def test_tensorboard_needs_no_tensorflow():
    code = (
        "import sys, search.tracking.tensorboard.tracker;"
        " sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_torn_event_is_cut_off_and_written_again_as_it_was(
    tensorboard, ledger, storage, own_home
):
    claim = begin(ledger, ME, [0.1, 0.2, 0.3])
    mirror(storage, ME, tensorboard).turn()
    (file,) = (own_home / "tensorboard").rglob("*tfevents*")
    whole = file.read_bytes()
    for size in (len(whole) - 1, len(whole) - 100, 5, 0):
        file.write_bytes(whole[:size])
        ledger.give_back(claim, paused=False)
        mirror(storage, ME, tensorboard).turn()
        assert file.read_bytes() == whole, size
        claim = ledger.claim(ME)
        mirror(storage, ME, tensorboard).turn()


def test_a_trial_that_began_anew_shows_its_last_training(tensorboard, ledger, storage, own_home):
    claim = begin(ledger, ME, [0.1, 0.2, 0.3])
    each = mirror(storage, ME, tensorboard)
    each.turn()
    ledger.forget_epochs(claim)
    each.turn()
    ledger.report(claim, [epoch(1, 0.1), epoch(2, 0.5)])
    each.turn()
    # TensorBoard drops what comes before a step that comes again; its reader here does not.
    assert read_tensorboard(own_home)["trial-0000"].curve()[-2:] == [(3, 0.3), (2, 0.5)]


def test_a_folder_that_was_deleted_is_written_again(tensorboard, storage, own_home):
    ledger = Ledger.open(storage, spec(name="mlp-digits", n_trials=3, finalists=0), {})
    ledger.complete(begin(ledger, ME, [0.1]), 0.1)
    claim = begin(ledger, ME, [0.2])
    paused = begin(ledger, ME, [0.4])
    ledger.give_back(paused, paused=True)
    each = mirror(storage, ME, tensorboard)
    each.turn()
    shutil.rmtree(own_home / "tensorboard")
    ledger.report(claim, [epoch(2, 0.3)])
    assert each.turn().gone
    each.turn()
    curves = {name: run.curve() for name, run in read_tensorboard(own_home).items()}
    assert curves == {
        "trial-0000": [(1, 0.1)],
        "trial-0001": [(1, 0.2), (2, 0.3)],
        "trial-0002": [(1, 0.4)],
    }


def test_a_study_made_anew_gets_a_folder_of_its_own(tensorboard, ledger, storage, own_home):
    for _ in range(2):
        ledger.complete(begin(ledger, ME, [0.1]), 0.1)
        mirror(storage, ME, tensorboard).turn()
        delete_rows(storage, [find_study(storage, "mlp-digits")[0]])
        ledger = Ledger.open(storage, spec(name="mlp-digits", n_trials=2, finalists=0), {})
    folders = sorted(path.name for path in (own_home / "tensorboard").iterdir())
    assert folders[0] == "mlp-digits"
    assert folders[1].startswith("mlp-digits-")


@pytest.fixture
def online(monkeypatch, own_home):
    """Weights & Biases as if it were online: a server's runs, and what makes the tracker."""
    wandb = pytest.importorskip("wandb")
    from search.tracking.wandb.tracker import WandbTracker

    for name in ("MODE", "PROJECT", "ENTITY", "BASE_URL", "DIR"):
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("NETRC", str(own_home / "netrc"))
    wandb.teardown()
    server = {}
    monkeypatch.setattr(wandb, "init", lambda **said: ServerRun(server, **said))
    yield WandbTracker, server
    wandb.teardown()


class ServerRun:
    """A run as wandb keeps it on the server, which knows its steps when it is resumed."""

    def __init__(self, server, *, resume, reinit, **said):
        assert (resume, reinit) == ("allow", "create_new")
        self.kept = server.setdefault(said["id"], {"steps": [], "summary": {}, "n": 0})
        self.kept |= {"state": "running", "group": said["group"], "n": self.kept["n"] + 1}
        self.summary = self.kept["summary"]
        self.starting_step = self.kept["steps"][-1] + 1 if self.kept["steps"] else 0
        self.config = self

    def update(self, config, allow_val_change):
        self.kept["config"] = dict(config)

    def log(self, values, step, commit):
        self.kept["steps"].append(step)

    def finish(self, exit_code):
        self.kept["state"] = "failed" if exit_code else "finished"


def test_wandb_goes_on_with_a_run_live_after_a_process_that_died(online, ledger, storage):
    make, server = online
    claim = begin(ledger, ME, [0.1, 0.2])
    first = mirror(storage, ME, make)
    first.turn()
    ((run_id, run),) = server.items()
    assert (run["steps"], run["state"], run["group"]) == ([1, 2], "running", "mlp-digits")
    ledger.report(claim, [epoch(3, 0.3)])
    first.turn()
    assert (run["steps"], run["n"]) == ([1, 2, 3], 1), "one connection"
    ledger.complete(claim, 0.4, [epoch(4, 0.4)])
    ledger.fail(begin(ledger, ME, [0.1]), "no luck", untrainable=True)
    mirror(storage, ME, make).turn()
    assert (server[run_id]["steps"], server[run_id]["n"]) == ([1, 2, 3, 4], 2)
    assert [run["state"] for run in server.values()] == ["finished", "failed"]
    assert server[run_id]["summary"]["best_val_accuracy"] == 0.4


def test_wandb_is_connected_anew_after_an_outage(online, ledger, storage, monkeypatch):
    make, server = online
    import wandb

    init, ends = wandb.init, []

    def away(**_said):
        raise wandb.errors.CommError("connection refused")

    claim = begin(ledger, ME, [0.1])
    each = mirror(storage, ME, make)
    each.turn()
    begin(ledger, ME, [0.5])
    ledger.report(claim, [epoch(2, 0.2)])
    with monkeypatch.context() as outage:
        outage.setattr(wandb, "init", away)
        outage.setattr(wandb, "teardown", ends.append)
        with pytest.raises(wandb.errors.CommError, match="refused"):
            each.turn()
    assert (ends, wandb.init) == ([1], init), "or it would say that the run is in use"
    ledger.report(claim, [epoch(3, 0.3)])
    each.turn()
    assert [run["steps"] for run in server.values()] == [[1, 2, 3], [1]]


def test_a_run_that_was_deleted_in_wandb_stays_so(online, ledger, storage, monkeypatch):
    make, _ = online
    import wandb

    def init(**_said):
        raise wandb.errors.CommError("run x was previously created and deleted; try a new run id")

    monkeypatch.setattr(wandb, "init", init)
    begin(ledger, ME, [0.1])
    each = mirror(storage, ME, make)
    assert each.turn().n_sent == 1
    assert each.left() == []


def test_wandb_without_a_key_says_what_to_do_and_asks_nobody(online, storage, monkeypatch):
    make, _ = online
    monkeypatch.delenv("WANDB_API_KEY")
    remedy = "wandb login.*WANDB_API_KEY.*WANDB_MODE=offline"
    with pytest.raises(NotReadyError, match=remedy):
        make(Ids(storage))
    monkeypatch.setattr("search.tracking.load.tracker_maker", lambda _name: make)
    with pytest.raises(InputError, match=f"--tracker wandb: .*{remedy}"):
        check_ready(("wandb",), storage)


def test_wandb_finds_the_key_that_its_login_kept(online, storage, monkeypatch, own_home):
    import wandb

    make, _ = online
    monkeypatch.delenv("WANDB_API_KEY")
    own_home.mkdir()
    host = wandb.setup().settings.base_url.partition("//")[2]
    (own_home / "netrc").write_text(f"machine {host} login user password {'0' * 40}\n")
    (own_home / "netrc").chmod(0o600)
    assert make(Ids(storage)).target.endswith("/gridless")


def test_a_slow_tracker_is_stopped_between_two_trials_and_goes_on_there(storage):
    ledger = Ledger.open(storage, spec(name="many", n_trials=5), {})
    for _ in range(5):
        ledger.complete(begin(ledger, ME, [0.1]), 0.1)
    brought = []

    class Slow:
        target, is_local = "slow", False

        def __init__(self, _ids):
            pass

        def trial_changed(self, _study, trial, _new):
            brought.append(trial.number)

        def study_ended(self, _search, _files):
            pass

    mirror(storage, ME, Slow).turn(stop=lambda: len(brought) == 2)
    assert brought == [0, 1]
    mirror(storage, ME, Slow).turn()
    assert brought == [0, 1, 2, 3, 4]
