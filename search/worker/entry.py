"""The first function of a trial's process: light to import, so that naming it costs its worker no framework."""

from multiprocessing.connection import Connection

from search.training.job import Job


def run(job: Job, pipe: Connection, lifeline: Connection, log: str) -> None:
    """Train `job` as `search.worker.child.main` says."""
    from search.worker import child  # noqa: PLC0415  loads Keras, which the fork server already has

    child.main(job, pipe, lifeline, log)
