import jax.numpy as jnp
import numpy as np
import pytest

from latentpk.inference.beginning import begin, searchable
from latentpk.inference.initial import measure
from latentpk.kinetics.doses import Doses, Paths
from latentpk.kinetics.ode import course
from latentpk.kinetics.piecewise import Pieces
from latentpk.kinetics.superposed import superposed_concentration
from latentpk.kinetics.systems import parse_system
from latentpk.models.record import stack_records
from latentpk.records import read_nonmem

TRUTH = {"vmax": 20.0, "km": 5.0, "v1": 50.0}
TIME = np.array([1.5, 6.0, 12.0, 24.0, 36.0, 47.0])


@pytest.fixture(scope="module")
def saturated():
    """Twelve patients whose elimination saturates, 30 % apart, at three sizes of a dose."""
    import polars as pl

    system, rng, rows = parse_system("1c-mm-iv"), np.random.default_rng(3), []
    for number in range(12):
        amount = (100.0, 300.0, 900.0)[number % 3]
        values = np.array(list(TRUTH.values())) * np.exp(0.3 * rng.standard_normal(3))
        doses = Doses.of([0.0], amount)
        pieces = Pieces(jnp.zeros(1), jnp.asarray(values)[None])
        found = course(
            doses, jnp.asarray(TIME), pieces=pieces, system=system, paths=Paths.of(doses)
        )
        dose = {"ID": number, "TIME": 0.0, "EVID": 1, "AMT": amount, "DV": None, "MDV": 1, "CMT": 1}
        rows.append(dose)
        for at, level in zip(TIME, np.asarray(found.concentration), strict=True):
            rows.append(
                dose | {"TIME": float(at), "EVID": 0, "AMT": 0.0, "DV": float(level), "MDV": 0}
            )
    return stack_records(read_nonmem(pl.DataFrame(rows), route="iv").subjects)


def test_a_search_finds_the_neighbourhood_of_a_saturable_drug(saturated):
    """What the data hold well: the volume, and the rate at low and at high levels."""
    found = np.exp(begin(parse_system("1c-mm-iv"), saturated, measure(saturated), seed=0))
    vmax, km, volume = found
    assert volume == pytest.approx(50, rel=0.3)
    for level in (0.5, 10.0):
        assert vmax / (km + level) == pytest.approx(20 / (5 + level), rel=0.4)


def test_what_is_known_is_held_and_the_rest_follows_it(saturated):
    system, scales = parse_system("1c-mm-iv"), measure(saturated)
    vmax, km, _ = np.exp(begin(system, saturated, scales, 0, {"km": 2.0}))
    assert km == pytest.approx(2.0)
    assert vmax / (km + 3.0) == pytest.approx(20 / (5 + 3.0), rel=0.5)
    assert np.exp(begin(system, saturated, scales, 0, {"vmax": 9.0}))[0] == pytest.approx(9.0)


def test_the_seed_decides(saturated):
    system, scales = parse_system("1c-mm-iv"), measure(saturated)
    assert np.array_equal(*(begin(system, saturated, scales, seed=1) for _ in range(2)))


@pytest.mark.parametrize(
    ("name", "known"), [("1c-mm-cl-oral-lag", True), ("tmdd-qss-oral-f", True), ("ehc", True),
                        ("ehc-meals3", True), ("transit6", True), ("2c-transit-ka-f", True),
                        ("tmdd", False), ("1c-mm-inh-iv", False)],
)  # fmt: skip
def test_what_is_searched_for(name, known):
    assert searchable(parse_system(name)) == known


@pytest.fixture(scope="module")
def slowly_absorbed():
    """Twenty patients of two sites behind which elimination is slower than absorption seems."""
    import polars as pl

    system, rng, rows = parse_system("dual-absorption"), np.random.default_rng(5), []
    for number in range(20):
        typical = np.array([12.0, 25.0, 0.45, 2.5, 1.2, 4.5])
        p = system.named(jnp.asarray(typical * np.exp(0.15 * rng.standard_normal(6))))
        doses, time = Doses.of([0.0], 200.0, depot=1.0), np.array([0.5, 1, 2, 4, 5, 6, 8, 10, 14])
        model = {"system": system, "p": p, "paths": Paths.of(doses)}
        late = jnp.full(time.shape, jnp.inf)
        level = superposed_concentration(doses, jnp.asarray(time), late, **model)
        dose = {"ID": number, "TIME": 0.0, "EVID": 1, "AMT": 200.0, "DV": None, "MDV": 1, "CMT": 1}
        rows.append(dose)
        seen = {"EVID": 0, "AMT": 0.0, "MDV": 0, "CMT": 2}
        for at, value in zip(time, np.asarray(level), strict=True):
            rows.append(dose | seen | {"TIME": float(at), "DV": float(value)})
    return stack_records(read_nonmem(pl.DataFrame(rows), route="oral").subjects)


@pytest.mark.parametrize("seed", [0, 1])
def test_two_sites_are_begun_from_slow_absorption_and_from_slow_elimination(slowly_absorbed, seed):
    """The linear curve behind them may be either; the volume tells which one was taken."""
    system, scales = parse_system("dual-absorption"), measure(slowly_absorbed)
    cl, v1, share, _, _, lag = np.exp(begin(system, slowly_absorbed, scales, seed))
    assert cl == pytest.approx(12, rel=0.3)
    assert v1 == pytest.approx(25, rel=0.5)
    assert share == pytest.approx(0.45, rel=0.4)
    assert lag == pytest.approx(4.5, rel=0.25)
