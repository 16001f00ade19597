"""`gridless predict`."""

import csv
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from search.cli.common import echo
from search.cli.views.quiet import without_chatter

if TYPE_CHECKING:
    from search.actions.predict import Answer

_EPILOG = """\b
Examples:
  gridless predict mlp-digits seven.png three.jpg
  gridless predict mlp-digits new.npz --top 3 > classes.csv
  gridless predict dense-wine new.csv
"""


@click.command(epilog=_EPILOG)
@click.argument("name", metavar="STUDY")
@click.argument("files", nargs=-1, required=True, metavar="IMAGE…|FILE")
@click.option(
    "--top", type=click.IntRange(min=1), default=1, show_default=True, help="Classes per image."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def predict(name: str, files: tuple[str, ...], top: int, as_json: bool) -> None:
    """Say what the best finalist of STUDY takes each image for: CSV lines of image, class and
    probability; of several labels the probability of each, of a regression the numbers.

    An IMAGE is any PNG, JPEG, BMP, GIF or WebP file; FILE.npz holds `x` or `x_test`, FILE.npy one
    array: uint8 (n, height, width [, channels]), or other examples as the study's data has them; of
    a table, FILE may be one with the same columns. Pictures are brought to the size and colours of
    the study's own images.
    """
    from search.actions.predict import predict as answer

    with without_chatter():
        answers, notices = answer(name, files, top=top)
    for notice in notices:
        echo(f"note: {notice}", err=True)
    if as_json:
        echo(json.dumps([_as_dict(a) for a in answers], indent=1, ensure_ascii=False))
    else:
        _print_csv(answers)


def _as_dict(answer: "Answer") -> dict[str, Any]:
    if answer.values:
        return {"image": answer.image, "values": dict(answer.values)}
    guesses = [
        {"label": g.label, "class": g.name, "probability": g.probability} for g in answer.guesses
    ]
    return {"image": answer.image, **guesses[0], "top": guesses}


def _print_csv(answers: "Sequence[Answer]") -> None:
    from search.text import csv_safe

    writer = csv.writer(sys.stdout, lineterminator="\n")
    if answers[0].values:
        writer.writerow(["image", *map(csv_safe, answers[0].values)])
        for answer in answers:
            numbers = [f"{value:.6g}" for value in answer.values.values()]
            writer.writerow([csv_safe(answer.image), *numbers])
        return
    n = max(len(a.guesses) for a in answers)
    head = ["class", "probability"]
    for i in range(2, n + 1):
        head += [f"class_{i}", f"probability_{i}"]
    writer.writerow(["image", *head])
    for answer in answers:
        cells: list[str] = []
        for guess in answer.guesses:
            cells += [csv_safe(guess.name), f"{guess.probability:.6f}"]
        writer.writerow([csv_safe(answer.image), *cells])


COMMANDS = (predict,)
