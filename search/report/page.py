"""The page: one HTML file with everything in it, and a small page per figure for the figures folder."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import plotly.io
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from search.files import write_text
from search.report.classes import class_rows, class_table, confusion_plot
from search.report.evidence import Evidence, Predictions
from search.report.figures import all_plots
from search.report.frame import best_trial, has_rank, ranking, varied_params
from search.report.images import class_samples, mistakes
from search.report.network import BOX_HEIGHT, BOX_WIDTH, diagram, is_frozen, network_words, shape_text
from search.report.plots import Plot
from search.report.style import STATES, template
from search.report.summary import as_of, failures, headline, space_table, spec_table, status, summary
from search.report.words import count, duration, percent, show
from search.study.records import StudyRecord

_TEMPLATES = Path(__file__).parent / "templates"
_LOG_CHARACTERS = 8000
_LOGS_PER_REASON = 20
_NOTHING = Evidence()
_ORIGIN = {
    "validation": "Training never saw these images, but the setting and the epoch were chosen by them: "
    "what follows is slightly better than it will be on new images.",
    "test": "No setting and no epoch was chosen by these images, and training never saw them.",
    "train": "The network was trained on these very images: this says how well it fits them, not how well it "
    "does on new ones.",
}
_IN_WORDS = {"validation": "validation", "test": "test", "train": "training"}


def write_page(
    study: StudyRecord, path: Path, plots: tuple[Plot, ...] | None = None, evidence: Evidence = _NOTHING
) -> None:
    """Writes the report of `study` to `path`: one HTML file of about 5 MB that needs no network, in one step.

    `plots` are its figures if they have been made already, `evidence` what was kept of its best trial. Raises
    OSError when `path` can't be written.
    """
    write_text(path, page(study, all_plots(study) if plots is None else plots, evidence))


def page(study: StudyRecord, plots: tuple[Plot, ...], evidence: Evidence = _NOTHING) -> str:
    """The report as HTML. Every word that comes from the study is escaped."""
    return (
        jinja()
        .get_template("page.html.j2")
        .render(
            study=study,
            status=status(study),
            summary=summary(study),
            headline=headline(study),
            as_of=as_of(study),
            board=_board(study),
            plots=plots,
            chosen=_chosen(study, evidence),
            failures=failures(study),
            space=space_table(study),
            spec=spec_table(study),
            n_logs=_LOGS_PER_REASON,
            log_characters=_LOG_CHARACTERS,
            plotly=Markup(get_plotlyjs()),  # noqa: S704 (the library's own file)
        )
    )


def write_figures(study: StudyRecord, folder: Path, plots: tuple[Plot, ...]) -> None:
    """Writes a page per figure into `folder`, and the one plotly.min.js that they share."""
    write_text(folder / "plotly.min.js", get_plotlyjs())
    for plot in plots:
        text = jinja().get_template("figure.html.j2").render(study=study, plot=plot)
        write_text(folder / f"{plot.key}.html", text)


def _board(study: StudyRecord) -> dict[str, Any]:
    """The leaderboard for the page: rows of trials with their ranks, and which parameters have a column."""
    trials = ranking(study)
    varied = varied_params(study)
    fixed = {n: v for t in trials for n, v in t.params.items() if n not in varied}
    return {
        "rows": [(i if has_rank(t) else None, t) for i, t in enumerate(trials, start=1)],
        "varied": varied,
        "fixed": fixed,
        "best": best_trial(study),
    }


def _chosen(study: StudyRecord, evidence: Evidence) -> dict[str, Any]:
    """What the page shows of the data and of the best trial's network."""
    found, network = evidence.predictions, evidence.network
    wrong = mistakes(evidence)
    return {
        "samples": class_samples(evidence),
        "n_classes": len(evidence.class_names),
        "diagram": diagram(network) if network else None,
        "box_size": (BOX_WIDTH, BOX_HEIGHT),
        "any_frozen": any(is_frozen(layer) for layer in network.layers) if network else False,
        "network_words": network_words(network) if network else "",
        "origin": _origin(study, found) if found else (),
        "confusion": confusion_plot(evidence),
        "table": class_rows(class_table(found, evidence.class_names)) if found else None,
        "mistakes": wrong,
        "mistakes_words": _mistakes_words(found, len(wrong)) if found else "",
    }


def _origin(study: StudyRecord, found: Predictions) -> tuple[str, ...]:
    best = best_trial(study)
    of = f"trial {best.number}" if best else "the best trial"
    n, right = len(found.true), len(found.true) - found.n_wrong
    return (
        f"After epoch {found.step}, {of} recognises {right:,} of {n:,} {_IN_WORDS[found.split]} images, "
        f"{percent(right / n)}.",
        _ORIGIN[found.split],
    )


def _mistakes_words(found: Predictions, n_shown: int) -> str:
    n, wrong = len(found.true), found.n_wrong
    if not wrong:
        return f"None of the {n:,} {_IN_WORDS[found.split]} images was misclassified."
    text = (
        f"{wrong:,} of {count(n, f'{_IN_WORDS[found.split]} image')} ({percent(wrong / n)}) "
        f"{'was' if wrong == 1 else 'were'} misclassified."
    )
    if not n_shown:
        return f"{text} No picture of them was kept."
    which = "All of them" if n_shown == wrong else f"The {n_shown} that the network was most sure of"
    return f"{text} {which}, titled “true:predicted”, the surest first:"


@cache
def jinja() -> Environment:
    """The templates with what all pages share."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent,
        "show": show,
        "duration": duration,
        "as_json": _as_json,
        "shape": shape_text,
    }
    looks = {name: template(dark=name == "dark") for name in ("light", "dark")}
    environment.globals |= {
        "states": STATES,
        "looks": _script_safe(json.dumps({n: t.to_plotly_json() for n, t in looks.items()})),
        "style": Markup((_TEMPLATES / "style.css").read_text(encoding="utf-8")),  # noqa: S704 (our own file)
        "script": Markup((_TEMPLATES / "report.js").read_text(encoding="utf-8")),  # noqa: S704 (our own file)
    }
    return environment


def _as_json(figure: Any) -> Markup:
    """A figure as JSON for a script element, without its template: the page puts in the light or the dark one."""
    content = json.loads(plotly.io.to_json(figure, validate=False))
    content["layout"].pop("template", None)
    return _script_safe(json.dumps(content, separators=(",", ":")))


def _script_safe(text: str) -> Markup:
    # Inside JSON these letters occur in strings only; escaped so, no text can end the script element.
    safe = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return Markup(safe)  # noqa: S704 (made safe on the line above)
