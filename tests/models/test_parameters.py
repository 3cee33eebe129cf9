"""Names that a structure's parameters may be given by."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentpk.errors import InputError
from latentpk.kinetics.systems import parse_system
from latentpk.models.parameters import (
    INSTEAD,
    canonical,
    form_matrix,
    parameter_unit,
    read_form,
)

FORMS = [
    (("ka", "ke", "v"), ("cl", "v1", "ka")),
    (("ke", "v", "k12", "k21"), ("cl", "v1", "q2", "v2")),
    (("cl", "v1", "k12", "v2"), ("cl", "v1", "q2", "v2")),
    (("ke", "v1", "k12", "k21", "k13", "k31"), ("cl", "v1", "q2", "v2", "q3", "v3")),
]


@pytest.mark.parametrize(("asked", "names"), FORMS)
@given(data=st.data())
def test_a_form_is_its_definition(asked, names, data):
    values = data.draw(
        st.lists(st.floats(-3, 3), min_size=len(asked), max_size=len(asked)).map(np.array)
    )
    form = read_form(asked, names, source="test")
    given_ = dict(zip(form, np.exp(values), strict=True))
    own = dict(zip(names, np.exp(form_matrix(form, names) @ values), strict=True))
    for name, (other, _) in INSTEAD.items():
        if other not in form:
            continue
        ratio = {
            "cl": lambda: own["cl"] / own["v1"],
            "q2": lambda: own["q2"] / own["v1"],
            "v2": lambda: own["q2"] / own["v2"],
            "q3": lambda: own["q3"] / own["v1"],
            "v3": lambda: own["q3"] / own["v3"],
        }[name]()
        assert ratio == pytest.approx(given_[other], rel=1e-9)
    for name in set(form) & set(names):
        assert own[name] == pytest.approx(given_[name])


@pytest.mark.parametrize(("asked", "names"), FORMS)
def test_a_form_can_be_inverted(asked, names):
    matrix = form_matrix(read_form(asked, names, source="test"), names)
    assert abs(round(np.linalg.det(matrix))) == 1
    np.testing.assert_allclose(np.linalg.inv(matrix), np.round(np.linalg.inv(matrix)))


def test_the_structures_own_names_are_the_identity():
    np.testing.assert_array_equal(form_matrix(("cl", "v1"), ("cl", "v1")), np.eye(2))
    assert read_form(None, ("cl", "v1"), source="test") == ("cl", "v1")


def test_other_writings_are_known():
    assert [canonical(name) for name in ("V", "Q", "KE", "Tlag", "cl")] == [
        "v1", "q2", "ke", "alag", "cl",
    ]  # fmt: skip


def test_every_wrong_name_is_told():
    with pytest.raises(InputError) as caught:
        read_form(("cl", "ke", "speed", "v"), ("cl", "v1", "ka"), source="--parameters")
    said = str(caught.value)
    assert len(caught.value.problems) == 3
    for part in ("speed", "cl and ke 2 times", "ka 0 times", "cl or ke, v1, ka"):
        assert part in said


@pytest.mark.parametrize(
    "name",
    [
        *("1c-mm-iv", "2c-mm-cl-inh-oral-lag-f", "tmdd", "tmdd-equilibrium", "tmdd-qss-iv"),
        *("tmdd-qss-oral-f", "ehc", "ehc-meals4", "ehc-binding", "transit3", "dual-absorption"),
        "2c-transit-ka-f",
    ],
)
def test_every_parameter_of_ready_made_equations_has_a_unit(name):
    system = parse_system(name)
    assert all(parameter_unit(system, one) for one in system.names)
