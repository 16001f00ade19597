"""Whether a study's first trials show that none can be trained, whatever its setting. Pure."""

import re
from collections.abc import Sequence

from search.records import State, TrialRecord

N_FIRST = 3
"""One is the document's setting, others lie anywhere: no setting is at fault in all of them."""
_NUMBER = re.compile(r"0x[0-9a-f]+|\d+(\.\d+)?(e[+-]?\d+)?", re.IGNORECASE)


def alike_failure(trials: Sequence[TrialRecord], *, n_before: int, n_trials: int) -> str | None:
    """Why a study is to start no more trials, if its first ones failed alike before an epoch; None
    otherwise.

    The first ones are those after `n_before`, which it had when it was last put on the queue:
    somebody may have mended what they failed by. Reasons are alike but for numbers. A setting's own
    failures (NaN, memory) count for nothing.
    """
    n = min(N_FIRST, n_trials - n_before)
    first = [t for t in trials if t.number >= n_before][:n]
    if (
        n < 1
        or len(first) < n
        or not all(t.state == State.FAIL and not t.curve and not t.untrainable for t in first)
    ):
        return None
    if n < N_FIRST and any(t.curve for t in trials):
        return None
    if len({_NUMBER.sub("#", t.reason or "") for t in first}) > 1:
        return None
    which = "its only trial failed" if n == 1 else f"its first {n} trials failed alike"
    return f"{which}, before an epoch: {first[0].reason or 'for no recorded reason'}"
