"""One empty database for all simulations."""

from pathlib import Path

import pytest

from search.lab.simulation.run import make_template


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("simulation"))
