"""Whatever a study's names, values, reasons and logs hold: every report of it can be written, and
steers nothing.
"""

import csv
import io
import re
from dataclasses import replace
from pathlib import Path

from search.cli.views.console import Console
from search.cli.views.leaderboard import leaderboard_table
from search.records import Search, StudyRecord
from search.report.study_report import write_report
from search.report.tables import markdown
from search.text import MAX_CHARS, cut, text_problem, visible
from tests.report.conftest import trial

ODD = "a\x1b[2J\rb\x00\x9b1m\ud800\u202ec\x07\nd"
SHOWN = r"a\x1b[2J\rb\x00\x9b1m\ud800\u202ec\x07"
STEERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]")


def test_what_can_not_be_seen_is_written_out_once() -> None:
    assert visible(ODD) == f"{SHOWN}\nd" == visible(visible(ODD))
    assert visible("é 画像 🙂\tx\r\ny") == "é 画像 🙂\tx\ny"
    long = cut("x" * 10**7)
    assert len(long) <= MAX_CHARS
    assert cut(long) == long
    assert cut("x") == "x"
    assert [
        bool(text_problem(t)) for t in ("画像", "a b", "a\nb", "a\tb", "\x1b", "\ud800", "\u202e")
    ] == [
        False,
        False,
        True,
        True,
        True,
        True,
        True,
    ]
    assert text_problem("a\nb\tc", lines=True) is None


def test_a_study_with_any_texts_can_be_reported(study: StudyRecord, tmp_path: Path) -> None:
    params = {ODD: ODD, "units": 64}
    odd = replace(
        study,
        model=ODD,
        data=ODD,
        trials=(
            trial(0, "COMPLETE", (0.9,), params=params, device=ODD, environments=("e",)),
            trial(1, "COMPLETE", (0.8,), params={ODD: "other", "units": 32}),
            trial(2, "FAIL", params=params, reason=ODD + "x" * 10**6, log_tail=ODD),
        ),
        environment={ODD: ODD},
        environments={"e": {ODD: "other"}},
        published={"value": 0.9, "split": "test", "source": ODD},
    )
    found = write_report(Search(odd), tmp_path)
    page = found.paths.page.read_text()
    assert r"a\x1b[2J" in page
    assert len(page) < 10**6 * 6
    text = found.paths.leaderboard.read_text()
    head, *rows = csv.reader(io.StringIO(text))
    assert f"param.{SHOWN}\nd" in head
    assert f"{SHOWN}\nd" in rows[0]
    console = Console(file=io.StringIO(), width=200, force_terminal=True)
    console.print(leaderboard_table(odd))
    drawn = console.file.getvalue()
    assert SHOWN in drawn
    drawn = re.sub(r"\x1b\[[0-9;]*m", "", drawn)
    page = re.sub("<script.*?</script>", "", page, flags=re.DOTALL)  # Plotly's own text holds some
    for told in (page, text, drawn, markdown(ODD)):
        assert not STEERS.search(told)
