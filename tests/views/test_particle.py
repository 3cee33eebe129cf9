"""The particle's view against arithmetic by hand, and what is missing."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from latentpk.views.particle import BY_NAME, FEATURES, PROPERTIES, particle_view

PAGE = (Path(__file__).parents[2] / "docs" / "knowledge.md").read_text(encoding="utf-8")
USUAL = {
    "HD": 100.0, "ZETA": 30.0, "CHARGE": -1.0, "ACTIVE": 1.0, "SPHERE": 1.0, "TSZ": 0.1,
    "DOSE": 5.0, "BW": 20.0,
}  # fmt: skip


def view(**changes):
    values = jnp.array([(USUAL | changes)[name] for name in PROPERTIES])
    return dict(zip(BY_NAME, np.asarray(particle_view(values)), strict=True))


def test_there_are_sixteen_of_a_usual_particle():
    found = view()
    assert len(FEATURES) == len(BY_NAME) == 16
    ones = {
        "f_size",
        "f_charge",
        "diffusivity",
        "size_to_tumor",
        "zeta_squared",
        "targeted_and_fit",
    }
    assert {name for name, value in found.items() if value == pytest.approx(1)} == ones
    assert found["signed_zeta"] == -1
    assert found["from_20_nm"] == pytest.approx(np.log(5))
    rest = set(BY_NAME) - ones - {"signed_zeta", "from_20_nm"}
    assert all(found[name] == 0 for name in rest)


@pytest.mark.parametrize(
    ("changes", "name", "value"),
    [
        ({"HD": 8.0}, "f_size", 0.0),
        ({"HD": 10.0}, "f_size", 1.0),
        ({"HD": 201.0}, "f_size", 0.0),
        ({"CHARGE": 1.0}, "f_charge", 0.0),
        ({"CHARGE": 0.0}, "f_charge", 1.0),
        ({"HD": 300.0}, "beyond_150_nm", np.log(2)),
        ({"HD": 10.0}, "from_20_nm", np.log(2)),
        ({"HD": 50.0}, "log_size_squared", np.log(2) ** 2),
        ({"HD": 50.0}, "diffusivity", 2.0),
        ({"HD": 50.0, "TSZ": 0.2}, "size_to_tumor", 0.25),
        ({"TSZ": 0.2, "BW": 25.0}, "tumor_share", np.log(2 / 1.25)),
        ({"DOSE": 10.0, "BW": 25.0, "TSZ": 0.2}, "dose_to_tumor", np.log(1.25)),
        ({"DOSE": 10.0, "HD": 50.0}, "particle_number", np.log(16)),
        ({"ZETA": 15.0, "CHARGE": 1.0}, "signed_zeta", 0.5),
        ({"ACTIVE": 0.0}, "targeted_and_fit", 0.0),
        ({"SPHERE": 0.0, "HD": 200.0}, "unround_size", np.log(2)),
    ],
)
def test_a_feature_is_its_formula(changes, name, value):
    assert view(**changes)[name] == pytest.approx(value)


@pytest.mark.parametrize("missing", PROPERTIES)
def test_what_is_missing_is_missing_where_it_is_needed_and_nowhere_else(missing):
    for name, value in view(**{missing: np.nan}).items():
        assert np.isnan(value) == (missing in BY_NAME[name].needs), name


def test_the_page_is_made_from_the_code():
    from docs.knowledge import page

    assert page() == PAGE, "run: python docs/knowledge.py"
