"""MLflow's own pages, on a study that was run a moment ago."""

import json
from collections.abc import Iterator
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest

from tests.ui.browser import Window, why_not, window
from tests.ui.conftest import STUDY, Served

pytestmark = pytest.mark.skipif(bool(why_not()), reason=f"no page was looked at: {why_not()}")

# What a person clicks once: models are trained here, no agents; and nobody to talk to.
SETTLED = """try {
    localStorage.setItem('mlflow.workflowType_v1', '"machine_learning"');
    localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true');
} catch (error) { /* a picture of a page in a page has no memory */ }"""
MLFLOWS_OWN = ("404 (Not Found)", "ResizeObserver")
"""Without users there is nobody to be asked for (users/current)."""
FLAT = (
    "?searchFilter="
    + quote("tags.`gridless.kind` = 'trial'")
    + "&orderByKey="
    + quote("metrics.`best_val_accuracy`")
)


@pytest.fixture
def mlflow(served: Served) -> Iterator[Window]:
    with window() as found:
        found.page.add_init_script(SETTLED)
        yield found
        assert [
            error for error in found.errors if not any(known in error for known in MLFLOWS_OWN)
        ] == []


def ask(served: Served, path: str, **body: object) -> dict:
    data = json.dumps(body).encode()
    with urlopen(
        Request(f"{served.url}/api/2.0/mlflow/{path}", data, {"Content-Type": "application/json"})
    ) as answer:
        return json.load(answer)


def trials(served: Served, kind: str = "trial") -> list[dict]:
    """Trials' runs, or replicates', the best by validation first: name, tags and metrics."""
    ids = [
        e["experiment_id"]
        for e in ask(served, "experiments/search", max_results=10)["experiments"]
        if e["name"] == STUDY
    ]
    chosen = f"tags.`gridless.kind` = '{kind}'"
    runs = ask(served, "runs/search", experiment_ids=ids, filter=chosen)["runs"]
    found = [
        {
            "experiment": ids[0],
            "name": run["info"]["run_name"],
            "status": run["info"]["status"],
            "tags": {tag["key"]: tag["value"] for tag in run["data"]["tags"]},
            "metrics": {metric["key"]: metric["value"] for metric in run["data"]["metrics"]},
        }
        for run in runs
    ]
    return sorted(found, key=lambda run: int(run["tags"].get("rank", 0)))


def test_trials_are_nested_under_the_study(mlflow: Window, served: Served) -> None:
    page = mlflow.page
    page.goto(f"{served.url}/#/experiments")
    page.get_by_role("link", name=STUDY, exact=True).first.click()
    page.get_by_role("gridcell").get_by_role("link", name=STUDY, exact=True).wait_for()
    assert page.get_by_role("link", name="trial-0000").count() == 0
    page.get_by_role("gridcell").get_by_role("button").first.click()
    for run in trials(served):
        page.get_by_role("link", name=run["name"]).first.wait_for()
    mlflow.shoot("mlflow-1-nested")


def test_the_command_opens_the_trials_the_best_first(mlflow: Window, served: Served) -> None:
    page, runs = mlflow.page, trials(served)
    page.goto(served.pages["trials"])
    for run in runs:
        page.get_by_role("link", name=run["name"]).first.wait_for()
    shown = page.get_by_role("link", name="trial-0").all_inner_texts()
    assert shown == [run["name"] for run in runs]
    assert page.get_by_role("link", name=", seed ").count() == 0
    for column in ("best_val_accuracy", "test_accuracy_mean", "n_params", "activation"):
        page.get_by_role("columnheader", name=column).first.wait_for()
    mlflow.shoot("mlflow-0-opened")
    page.goto(served.pages["the best five"])
    page.get_by_text(f"Comparing {len(runs)} Runs").wait_for()
    mlflow.shoot("mlflow-0-best")
    page.goto(served.pages["charts"])
    page.locator(".js-plotly-plot path.js-line").first.wait_for()
    mlflow.shoot("mlflow-0-charts")


def test_replicates_are_nested_under_the_trials_that_they_repeat(
    mlflow: Window, served: Served
) -> None:
    page = mlflow.page
    page.goto(f"{served.url}/#/experiments/{trials(served)[0]['experiment']}/runs")
    page.get_by_role("gridcell").get_by_role("link", name=STUDY, exact=True).wait_for()
    page.get_by_role("gridcell").get_by_role("button").first.click()
    finalist = next(run for run in trials(served) if run["tags"]["finalist"] == "yes")
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name=finalist["name"]))
    row.get_by_role("gridcell").get_by_role("button").first.click()
    number = int(finalist["tags"]["gridless.trial"])
    for seed in (1, 2):
        page.get_by_role("link", name=f"trial {number}, seed {seed}").first.wait_for()
    mlflow.shoot("mlflow-1-replicates")


def test_selected_trials_are_compared(mlflow: Window, served: Served) -> None:
    page, runs = mlflow.page, trials(served)
    assert {run["tags"]["state"] for run in runs} == {"COMPLETE", "PRUNED"}
    page.goto(f"{served.url}/#/experiments/{runs[0]['experiment']}/runs{FLAT}&orderByAsc=false")
    for run in runs:
        page.get_by_role("link", name=run["name"]).first.wait_for()
    shown = page.get_by_role("link", name="trial-0").all_inner_texts()
    assert shown == [run["name"] for run in runs], (
        "sorted by best_val_accuracy, they are in the order of rank"
    )
    page.get_by_label("Select all runs").check()
    mlflow.shoot("mlflow-2-selected")
    page.get_by_test_id("runs-compare-button").click()
    page.get_by_text(f"Comparing {len(runs)} Runs").wait_for()
    for name in ("best_val_accuracy", "test_accuracy_mean", "n_params", "train_s"):
        page.get_by_role("link", name=name, exact=True).wait_for()
    text = page.inner_text("body")
    for name in ("optimizer", "dropout", "finalist", "rank", "state", "PRUNED", "COMPLETE"):
        assert name in text
    mlflow.shoot("mlflow-3-compared")
    page.get_by_role("link", name="best_val_accuracy", exact=True).scroll_into_view_if_needed()
    mlflow.shoot("mlflow-3-metrics")

    page.get_by_role("link", name="val_accuracy", exact=True).click()
    for run in runs:
        page.get_by_role("row", name=run["name"]).get_by_text(
            f"(step={int(run['metrics']['epochs'])})"
        ).first.wait_for()
    steps = {run["status"]: int(run["metrics"]["epochs"]) for run in runs}
    assert steps["KILLED"] < steps["FINISHED"]
    page.locator(".js-plotly-plot .scatterlayer path.js-line").first.wait_for()
    mlflow.shoot("mlflow-4-curves")


def test_charts_show_curves_and_bests(mlflow: Window, served: Served) -> None:
    page, runs = mlflow.page, trials(served)
    page.goto(
        f"{served.url}/#/experiments/{runs[0]['experiment']}/runs{FLAT}&orderByAsc=false&compareRunsMode=CHART"
    )
    for name in ("accuracy", "best_val_accuracy", "loss"):
        page.get_by_text(name, exact=True).first.wait_for()
    page.locator(".js-plotly-plot path.js-line").first.wait_for()
    mlflow.shoot("mlflow-5-charts")


def test_the_study_keeps_its_report_and_champion(mlflow: Window, served: Served) -> None:
    page, runs = mlflow.page, trials(served)
    page.goto(f"{served.url}/#/experiments/{runs[0]['experiment']}")
    page.get_by_role("gridcell").get_by_role("link", name=STUDY, exact=True).click()
    page.get_by_text("The search chose").first.wait_for()
    page.get_by_text("digits.training").first.wait_for()
    mlflow.shoot("mlflow-6-study")
    page.get_by_role("tab", name="Artifacts").click()
    for name in ("leaderboard.csv", "classes.csv", "figures"):
        page.get_by_text(name, exact=True).first.wait_for()
    page.get_by_text("report.html", exact=True).first.click()
    page.frame_locator("iframe").get_by_role("heading", name="Leaderboard").wait_for()
    mlflow.shoot("mlflow-7-report")
    page.goto(f"{served.url}/#/models/{STUDY}")
    page.get_by_text("@ champion").wait_for()
    mlflow.shoot("mlflow-8-registry")


def test_finalists_and_replicates_can_be_told_apart(mlflow: Window, served: Served) -> None:
    finalists = [run for run in trials(served) if run["tags"]["finalist"] == "yes"]
    assert [run["tags"]["rank"] for run in finalists] == ["1", "2"]
    assert all("test_accuracy_mean" in run["metrics"] for run in finalists)
    replicates = trials(served, "replicate")
    sources = [run["tags"]["source_trial"] for run in replicates]
    assert {sources.count(run["tags"]["gridless.trial"]) for run in finalists} == {2}
    assert len({run["tags"]["seed"] for run in replicates}) == len(replicates)
    page = mlflow.page
    query = FLAT.replace("best_val_accuracy", "test_accuracy").replace("trial%27", "replicate%27")
    page.goto(
        f"{served.url}/#/experiments/{replicates[0]['experiment']}/runs{query}&compareRunsMode=CHART"
    )
    page.get_by_placeholder("Search metric charts").fill("test_accuracy")
    page.get_by_text("test_accuracy", exact=True).first.wait_for()
    page.get_by_role("button", name="Group by").click()
    page.get_by_role("menuitemcheckbox", name="source_trial", exact=True).click()
    for run in finalists:
        page.get_by_text(f"Group: {run['tags']['gridless.trial']}").first.wait_for()
    page.keyboard.press("Escape")
    mlflow.shoot("mlflow-9-replicates")
