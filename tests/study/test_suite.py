"""Suite files: what a person may write, every mistake at once, and what is kept of a suite that was
run.
"""

from pathlib import Path

import pytest

from search.errors import InputError
from search.space.space import Published
from search.study.suite import Suite, System, stored_suite, stored_systems, write_suite
from search.study.suite_file import SearchSettings, read_suite, suite_name

SYSTEM = System(
    study="own.mlp-digits",
    model="mlp",
    data="digits",
    data_source="digits",
    setting={"lr": 0.1, "units": 32},
    evaluate="test",
    seeds=2,
    epochs=3,
    published=Published(value=0.9, split="test", source="a paper"),
    label="lr=0.1",
)


@pytest.fixture
def written(tmp_path: Path):  # type: ignore[no-untyped-def]
    def write(text: str, name: str = "own.yaml") -> str:
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        return str(file)

    return write


def problems(name: str, **flags: object) -> str:
    with pytest.raises(InputError) as error:
        read_suite(name, flags)
    return "\n".join(error.value.problems)


def test_every_mistake_of_a_suite_file_is_told_at_once_with_its_place(written) -> None:  # type: ignore[no-untyped-def]
    file = written(
        "seeds: 0\nseeed: 1\nvalidation_fraction: 0.9\nprecision: float64\nsystems:\n  - {model:"
        " mlp, data: digits, settings: {lr: 1}}\n  - {data: digits, evaluate: tests, epochs: 0}\n "
        " - {model: [], data: digits}\n  - mlp\n  - {model: mlp, data: digits, search: {n_trial: 3,"
        " epochs: 0, strategy: halvin, workers: 2, finalists: 0}}\nsearch: 8\n"
    )
    lines = problems(file).splitlines()
    expected = [
        ("seeds = 0", "greater than or equal to 1"),
        ("seeed", "is not a key", "did you mean 'seed"),
        ("validation_fraction = 0.9", "0.5"),
        ("precision = 'float64'", "float32"),
        ("systems.1.settings", "is not a key", "did you mean 'setting'?"),
        ("systems.2.model is missing",),
        ("systems.2.evaluate = 'tests'", "validation"),
        ("systems.2.epochs = 0", "greater than or equal to 1"),
        ("systems.3.model = []", "give at least one"),
        ("systems.4 = 'mlp'", "mapping with model and data"),
        ("systems.5.search.n_trial", "not a key of a suite's search", "did you mean 'n_trials'?"),
        ("systems.5.search.workers", "not a key of a suite's search"),
        ("systems.5.search.epochs = 0", "greater than or equal to 1"),
        ("systems.5.search.strategy = 'halvin'", "did you mean 'halving'?"),
        ("systems.5.search.finalists = 0", "greater than or equal to 1"),
        ("search = 8", "{n_trials: 8}"),
    ]
    for parts in expected:
        assert any(all(part in line for part in (file, *parts)) for line in lines), (parts, lines)
    assert len(lines) == len(expected)


@pytest.mark.parametrize("text", ["systems: []", "systems: ", "seeds: 2", ""])
def test_a_suite_without_systems_is_none(written, text: str) -> None:  # type: ignore[no-untyped-def]
    [line] = problems(written(text)).splitlines()
    assert "systems is missing" in line or "give a" in line


def test_a_file_that_is_no_yaml_names_the_line(written) -> None:  # type: ignore[no-untyped-def]
    assert "own.yaml:2" in problems(written("seeds: 2\nsystems: ]\n"))


def test_a_suite_that_is_not_there(
    written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    """Among the names are only suites, not the settings of studies that lie beside them."""
    written("n_trials: 3\n", "studies/mine.yaml")
    written("systems: [{model: mlp, data: digits}]\n", "studies/weekly.yaml")
    monkeypatch.chdir(tmp_path)
    assert "did you mean 'documents'?" in problems("documnts")
    assert "did you mean 'weekly'?" in problems("weekli")
    said = problems("mine")
    assert all(
        part in said
        for part in ("'mine' is not known", "documents", "weekly", "path of a suite file")
    )
    for gone in ("gone.yaml", "./gone"):
        assert f"{gone}: no such file" in problems(gone)


def test_flags_go_before_the_file_and_before_each_of_its_systems(written) -> None:  # type: ignore[no-untyped-def]
    file = written(
        "seeds: 2\nseed: 4\nsystems: [{model: mlp, data: digits, seeds: 9}, {model: mlp, data:"
        " mnist}]\n"
    )
    plain, flagged = (
        read_suite(file, {"seeds": None, "epochs": None}),
        read_suite(file, {"seeds": 5, "epochs": 7}),
    )
    assert (plain.seeds, plain.seed, plain.epochs, [e.seeds for e in plain.systems]) == (
        2,
        4,
        None,
        [9, None],
    )
    assert (flagged.seeds, flagged.seed, flagged.epochs, [e.seeds for e in flagged.systems]) == (
        5,
        4,
        7,
        [None, None],
    )
    assert "seeds = 0" in problems(file, seeds=0)


def test_an_entry_searches_as_it_says_else_as_the_suite_does_and_flags_go_before_both(
    written,
) -> None:  # type: ignore[no-untyped-def]
    file = written(
        "search: {n_trials: 8, n_replicates: 7}\nsystems: [{model: mlp, data: a, search: {n_trials:"
        " 3}}, {model: mlp, data: b, search: {n_replicates: 9}}]"
    )
    suite = read_suite(file, {})
    assert [e.search.over(suite.search) for e in suite.systems if e.search] == [
        SearchSettings(n_trials=3, n_replicates=7),
        SearchSettings(n_trials=8, n_replicates=9),
    ]
    flagged = read_suite(file, {"seeds": 2})
    assert [flagged.search, *(e.search for e in flagged.systems)] == [
        SearchSettings(n_trials=8),
        SearchSettings(n_trials=3),
        SearchSettings(),
    ]
    assert (
        read_suite(written("search: {}\nsystems: [{model: mlp, data: digits}]"), {}).search
        == SearchSettings()
    )


def test_the_shipped_suite_of_searches_is_of_four_models_or_more_on_fashion() -> None:
    suite = read_suite("quick", {})
    assert suite.search is not None
    assert (
        len({m for entry in suite.systems for m in entry.model if entry.data == ("fashion",)}) >= 4
    )


def test_one_thing_may_be_written_without_a_list(written) -> None:  # type: ignore[no-untyped-def]
    file = written(
        "systems:\n  - {model: mlp, data: digits, setting: {lr: 1}}\n  - {model: [a, b], data: [c,"
        " d]}\n"
    )
    one, many = read_suite(file, {}).systems
    assert (one.model, one.data, one.setting) == (("mlp",), ("digits",), ({"lr": 1},))
    assert (many.model, many.data, many.setting) == (("a", "b"), ("c", "d"), ({},))


def test_the_shipped_suite_has_every_system_that_the_documents_train() -> None:
    suite = read_suite("documents", {})
    models = {m for entry in suite.systems for m in entry.model}
    assert suite.seeds == 3
    assert models == {
        *(f"convNN_{v}" for v in ("1", "2", "3", "3a", "4", "6", "7", "8")),
        "mlp",
        "resnet",
        "vgg16_features",
        "digits_cnn",
        "alexnet",
        "lab_cnn",
        "cifar_cnn",
    }
    changes = [change for entry in suite.systems for change in entry.setting]
    assert changes
    assert not any(changes)  # the published recipes


def test_a_suite_that_was_run_is_read_back_as_it_was(tmp_path: Path) -> None:
    searched = SYSTEM.model_copy(
        update={"study": "own.b", "published": None, "search": SearchSettings(n_trials=4)}
    )
    suite = Suite(name="own", systems=(SYSTEM, searched))
    assert stored_systems(tmp_path / "own") == ()
    write_suite(suite, tmp_path / "own")
    assert stored_suite(tmp_path / "own") == suite
    assert stored_systems(tmp_path / "own") == suite.systems


def test_a_suite_that_was_never_run_is_told_with_those_that_were(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="known: none; `gridless bench` runs one"):
        stored_suite(tmp_path / "own")
    write_suite(Suite(name="mine", systems=(SYSTEM,)), tmp_path / "mine")
    with pytest.raises(InputError, match="'own' is no suite that was run here; known: mine"):
        stored_suite(tmp_path / "own")
    (tmp_path / "mine" / "suite.yaml").write_text("name: mine\nsystems: [{study: x}]\n")
    with pytest.raises(InputError, match="damaged"):
        stored_suite(tmp_path / "mine")


def test_results_are_kept_under_the_name_of_the_file() -> None:
    names = ("documents", "path/to/weekly.yaml", "weekly.yml", "path/to/weekly")
    assert [suite_name(n) for n in names] == ["documents", "weekly", "weekly", "weekly"]
    for name in ("x.final", ".yaml", "a b.yaml", "mlflow-artifacts"):
        with pytest.raises(InputError, match="NAME"):
            suite_name(name)
