"""How often a worker looks and tries again: all of its intervals, beside each other."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Pace:
    """A worker's intervals, in seconds."""

    shortest_nap: float = 0.2
    """How long a worker without a trial waits before it looks again; doubled up to the longest."""
    longest_nap: float = 2.0
    look: float = 1.0
    """How long a worker goes by one look at the queue."""
    tidy: float = 5.0
    """How often a busy worker looks for studies that nobody works on and that are to be closed."""
    refusal: float = 60.0
    """When a study that can't be served here is tried again: its data may have been copied over."""
    shortest_rest: float = 5.0
    """How long a worker waits for room on a full disk; doubled while trials go on failing."""
    longest_rest: float = 600.0
    sweep: float = 2.0
    """How often a worker looks for trials of lost ones."""
    poll: float = 0.2
    """How soon a stop, a pause or a time limit is seen while a trial trains."""
    start: float = 300.0
    """How long a trial's process may take to begin; a slower one hangs, in a driver or a disk."""
    last_epoch: float = 3.0
    """How long a trial may take to finish its epoch after a stop; its last checkpoint is kept."""
    gather: float = 0.5
    """Epochs that end within this time are stored by one transaction."""
    state_look: float = 2.0
    """How often a study's state is looked up: how soon a pause or a cancel is seen."""
    first_report_retry: float = 0.5
    """When what a trial reports is sent again to a database that is away; doubled every time."""
    first_retry: float = 0.2
    """When any other question is put again to a database that is away; doubled every time."""
    longest_retry: float = 10.0
    due_look: float = 2.0
    """How often a worker looks for the reports of studies that are due."""
    due_retry: float = 60.0
    """When such a report that could not be written is tried again."""
