"""What the fork server loads once for all trials."""

from search.processes import loading_for_good

with loading_for_good():
    from search.worker.trial import child  # noqa: F401
