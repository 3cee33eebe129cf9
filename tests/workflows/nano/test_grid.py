import numpy as np
import pytest

from latentpk.errors import InputError
from latentpk.models.descriptors import LEVELS, NUMBERS, Properties
from latentpk.workflows.nano.grid import MOST, Grid, candidates, make_grid, zeta_of

SHAPE, TS = list(LEVELS).index("SHAPE"), list(LEVELS).index("TS")


def particle(**known):
    number = np.full((1, len(NUMBERS)), np.nan)
    for name, value in known.items():
        number[0, NUMBERS.index(name)] = value
    code = np.full((1, len(LEVELS)), -1)
    code[0, SHAPE], code[0, TS] = 1, 0
    return Properties(number, code)


def seen():
    number = np.full((6, len(NUMBERS)), np.nan)
    number[:, NUMBERS.index("CHARGE")] = [-1, -1, -1, 1, 1, 0]
    number[:, NUMBERS.index("ZETA")] = [10, 30, 50, 7, np.nan, 0]
    return Properties(number, np.zeros((6, len(LEVELS)), int))


def test_a_grid_is_read():
    grid = make_grid("10:35:10", "Positive, 0", "rods,sphere", "ALL")
    assert grid == Grid(
        (10.0, 20.0, 30.0), (-1.0, 1.0), ("Spherical", "Rod"), ("Passive", "Active")
    )
    assert len(grid) == 24
    assert make_grid("100,20,20").sizes == (20.0, 100.0)
    assert make_grid().shapes is None
    assert len(make_grid()) == 60
    assert make_grid("50:50:10", "neutral,positive").sizes == (50.0,)
    assert make_grid("0.1:0.3:0.1").sizes == (0.1, 0.2, 0.3)


@pytest.mark.parametrize(
    ("option", "text", "match"),
    [
        ("size", "200:10:10", "low not above high"),
        ("size", "10:200:0", "step above 0"),
        ("size", "10:200:-5", "step above 0"),
        ("size", "10:200", "low:high:step"),
        ("size", "ten", "numbers in nm"),
        ("size", "", "numbers in nm"),
        ("size", "nan,10", "numbers in nm"),
        ("size", "0:100:10", "above 0"),
        ("size", "-20,10", "above 0"),
        ("size", "10,20000", "at most 10000 nm"),
        ("size", "1:9000:0.1", "20,000"),
        ("size", "1:9000:1e-9", "20,000"),
        ("charge", "minus", "negative, neutral or positive"),
        ("charge", "", "nothing"),
        ("shape", "ball", "Spherical, Rod"),
        ("shape", " , ", "nothing"),
        ("targeting", "own,Active", "'own'"),
    ],
)
def test_what_is_no_grid_is_an_input_error(option, text, match):
    with pytest.raises(InputError, match=match):
        make_grid(**{option: text})


def test_every_problem_is_told_at_once():
    with pytest.raises(InputError) as caught:
        make_grid("9:1:1", "plus", "cube", "both")
    assert len(caught.value.problems) == 4


def test_one_design_is_no_grid():
    with pytest.raises(InputError, match="Two designs or more"):
        make_grid("50", "neutral")


def test_the_largest_grid_is_one():
    assert len(make_grid(f"1:{MOST // 4}:1", "neutral", "own", "all")) == MOST // 2
    with pytest.raises(InputError, match="Take a larger step"):
        make_grid("1:7000:1")


def test_candidates_vary_what_is_asked_and_nothing_else():
    own = particle(HD=3.0, CHARGE=-1, ZETA=20, DOSE=1.0, BW=3.0, TSZ=-1.0, TW=-0.8, ZP_SIGNED=-20)
    grid = make_grid("10,100", "negative,neutral,positive", "Rod,Plate", "own")
    found = candidates(own, grid, seen())
    assert len(found) == len(grid) == 12
    told = dict(zip(NUMBERS, found.number.T, strict=True))
    np.testing.assert_allclose(np.exp(told["HD"]), np.tile([10, 100], 6))
    np.testing.assert_array_equal(told["CHARGE"], np.repeat([-1, 0, 1], 4))
    np.testing.assert_array_equal(told["ZETA"], np.repeat([20, 0, 20], 4))
    np.testing.assert_array_equal(told["ZP_SIGNED"], np.repeat([-20, 0, 20], 4))
    for name in ("DOSE", "BW", "TSZ", "TW"):
        assert (told[name] == own.number[0, NUMBERS.index(name)]).all()
    np.testing.assert_array_equal(found.code[:, SHAPE], np.tile([1, 1, 2, 2], 3))
    assert (found.code[:, TS] == 0).all()
    designs = {tuple(number) + tuple(code) for number, code in zip(*found, strict=True)}
    assert len(designs) == 12


def test_a_signed_zeta_potential_that_is_not_known_stays_so():
    found = candidates(particle(HD=3.0, CHARGE=-1, ZETA=20), make_grid("10,20"), seen())
    assert np.isnan(found.number[:, NUMBERS.index("ZP_SIGNED")]).all()


@pytest.mark.parametrize(
    ("own", "charge", "zeta"),
    [
        ({"CHARGE": -1, "ZETA": 20}, 0, 0),
        ({"CHARGE": -1, "ZETA": 20}, -1, 20),
        ({"CHARGE": -1, "ZETA": 20}, 1, 20),
        ({"ZETA": 20}, 1, 20),
        ({"CHARGE": 0, "ZETA": 4}, -1, 30),
        ({"CHARGE": 0, "ZETA": 0}, 1, 7),
        ({"CHARGE": 1}, 1, 7),
        ({"CHARGE": -1, "ZETA": 0}, -1, 30),
        ({}, -1, 30),
    ],
)
def test_the_zeta_potential_of_a_design(own, charge, zeta):
    assert zeta_of(particle(**own), charge, seen()) == zeta


def test_a_charge_that_nobody_measured_has_no_zeta_potential():
    nothing = Properties(np.full((2, len(NUMBERS)), np.nan), np.zeros((2, len(LEVELS)), int))
    assert np.isnan(zeta_of(particle(), 1.0, nothing))
