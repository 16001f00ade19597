"""`gridless bench-peers`."""

from pathlib import Path

from tests.cli.helpers import gridless


def test_a_search_is_kept_in_a_file_that_can_be_reported(command, tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    # A team's database and its password are not for such searches.
    monkeypatch.setenv("GRIDLESS_STORAGE", "postgresql://nobody@nowhere/studies")
    monkeypatch.setenv("GRIDLESS_STORAGE_PASSWORD_FILE", str(tmp_path / "password"))
    out = tmp_path / "peers.csv"
    given = (
        "bench-peers",
        "--models",
        "mlp",
        "--data",
        "digits",
        "--images",
        "600",
        "--epochs",
        "3",
        "--budget",
        "1",
        "--systems",
        "gridless",
        "--fix",
        "depth=1",
        "--fix",
        "batch_size=100",
        "--out",
        str(out),
    )
    first = gridless(*given)
    assert first.returncode == 0, first.stderr
    assert first.stdout == f"{out}\n"
    written = out.read_bytes()
    code, _, err = command(*given)
    assert (code, out.read_bytes()) == (0, written)
    assert "holds 1 run already" in err
    assert command("report", str(out))[0] == 0
    table = (tmp_path / "peers.md").read_text()
    assert "| gridless |" in table
    assert "Python 3." in (tmp_path / "peers.html").read_text()


def test_every_problem_is_told_at_once(command, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    code, _, err = command(
        "bench-peers",
        "--models",
        "mlp,mpl,cifar_cnn",
        "--data",
        "digits",
        "--systems",
        "Optima",
        "--images",
        "x",
        "--budget",
        "0.5",
        "--fix",
        "batch_sise=3,epochs=2",
        "--out",
        str(tmp_path / "peers.csv"),
    )
    assert code == 2
    for told in (
        "'Optima' is not known",
        "--images: 'x'",
        "--budget: '0.5'",
        "--models: 'mpl' is not known; did you mean 'mlp'?",
        "'batch_sise' is a parameter of none",
        "--fix: epochs is how long to train",
    ):
        assert told in err
    assert "which other systems' `fit` knows nothing of" in err
