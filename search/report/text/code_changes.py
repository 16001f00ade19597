"""Which trials ran with which code of the user's, where that changed on the way. Pure."""

from search.records import StudyRecord
from search.study.environment import environment_digest
from search.user_code import code_difference, code_in
from search.words import listing


def code_names(study: StudyRecord) -> dict[int, str]:
    """A short name for each trial's code; empty where all ran with the same or none is known."""
    names = {number: environment_digest(code)[:7] for number, code in _codes(study).items()}
    return names if len(set(names.values())) > 1 else {}


def code_words(study: StudyRecord) -> list[str]:
    """A sentence for each older code that trials ran with; empty where all ran with the same."""
    codes = _codes(study)
    names = code_names(study)
    if not names:
        return []
    newest = names[max(names)]
    now = codes[max(names)]
    groups: dict[str, list[int]] = {}
    for number in sorted(names):
        groups.setdefault(names[number], []).append(number)
    return [
        f"{'Trial' if len(numbers) == 1 else 'Trials'} {listing([str(n) for n in numbers])} ran"
        " with other code of the model than the last ones (since then"
        f" {code_difference(codes[numbers[0]], now)}): compare them with care. Finalists trained"
        " before the change keep what they gave; later ones are trained with the newest code."
        for name, numbers in groups.items()
        if name != newest
    ]


def _codes(study: StudyRecord) -> dict[int, dict[str, str]]:
    last = {
        t.number: study.environments.get(t.environments[-1], {})
        for t in study.trials
        if t.environments
    }
    codes = {number: code_in(environment) for number, environment in last.items()}
    return {number: code for number, code in codes.items() if code}
