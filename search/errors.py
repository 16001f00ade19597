"""Every exception of the project, named by what the caller should do about it."""

from collections.abc import Sequence

from search.text import cut


class GridlessError(Exception):
    """Base of all our exceptions."""


class InputError(GridlessError):
    """The user should fix the input. Carries every problem, none longer than makes sense."""

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems: tuple[str, ...] = tuple(
            map(cut, (problems,) if isinstance(problems, str) else problems)
        )
        super().__init__("\n".join(self.problems))


class StudyError(GridlessError):
    """The study should stop: no trial of it can be run."""


class TrialError(GridlessError):
    """This trial should fail, with `reason` shown to the user; the worker goes on."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class UnfitError(TrialError):
    """This trial's network breaks a bound of its study, as `reason` says, and isn't trained."""


class ClaimLostError(GridlessError):
    """The worker should drop this trial without a word: another worker owns it now."""


class RetryLaterError(GridlessError):
    """The same call should be made again later: a database or a tracker is out of reach."""
