"""How a segment's end is stored: which state its trial has from then on."""

from pathlib import Path
from typing import assert_never

from search.records import Ending, State
from search.study.storage.claim import Claim
from search.study.storage.ledger import CANCELLED_REASON, Ledger
from search.worker.reporter import Unsent
from search.worker.segment import Outcome
from search.worker.trial_files import log_tail


def store_end(ledger: Ledger, claim: Claim, outcome: Outcome, log: Path) -> State:
    """Store how a segment ended, with what it had not sent yet; the state of its trial from now on.

    Of one that failed the end of its `log` is kept. Raises ClaimLostError when the trial has been
    taken over, RetryLaterError when the database is out of reach.
    """
    trial = outcome.trial
    unsent = outcome.unsent or Unsent()
    epochs, facts = unsent.epochs, unsent.facts
    match outcome.ending:
        case Ending.PAUSE | Ending.INTERRUPTED | Ending.HALT:
            is_paused = outcome.ending == Ending.PAUSE
            return ledger.give_back(claim, epochs, **facts | {"paused": is_paused})
        case Ending.DONE:
            value = trial.value if trial.final_value is None else trial.final_value
            ledger.complete(claim, value or 0.0, epochs, **facts)
            return State.COMPLETE
        case Ending.STOP:
            ledger.prune(claim, trial.value, "stopped by the strategy", epochs, **facts)
            return State.PRUNED
        case Ending.UNFIT:
            ledger.prune(claim, None, outcome.reason, epochs, **facts)
            return State.PRUNED
        case Ending.CANCEL:
            ledger.prune(claim, trial.value, CANCELLED_REASON, epochs, **facts)
            return State.PRUNED
        case Ending.FAIL:
            ledger.fail(
                claim,
                outcome.reason,
                epochs,
                log_tail=log_tail(log),
                untrainable=outcome.untrainable,
                **facts,
            )
            return State.FAIL
        case never:
            assert_never(never)
