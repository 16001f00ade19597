"""The space of a study, from wherever it is."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from search.actions.space_source import space_for
from search.space.hyper_choices import FOUND
from search.space.space import Space

PARAMS = {"units": {"type": "int", "low": 4, "high": 8}}


@pytest.mark.parametrize("source", [FOUND, "Smith et al., 2020", None])
def test_a_file_says_itself_what_may_vary_though_it_was_copied_from_what_building_found(
    tmp_path: Path, source: str | None
) -> None:
    """Else its values would be taken into the builder's ranges, without a word."""
    discovered = Space(model="here:build", source=source, params=PARAMS, document={"units": 4})
    file = tmp_path / "space.yaml"
    with file.open("w") as out:
        YAML(typ="safe", pure=True).dump(discovered.as_dict(), out)
    space = space_for("here:build", file, None, lambda _text: None).space
    assert space.digest == discovered.digest
    assert space.source == (None if source == FOUND else source)
