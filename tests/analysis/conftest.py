"""The frozen studies of the reports."""

from tests.report.conftest import hostile, many, study  # noqa: F401  (fixtures)
