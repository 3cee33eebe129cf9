import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latentpk.errors import InputError
from latentpk.kinetics.doses import Doses, Paths
from latentpk.kinetics.systems import parse_system
from latentpk.models.decoders.mechanistic import MechanisticDecoder

DECODER = MechanisticDecoder(parse_system("1c-mm-iv"))
Z = np.log([[20.0, 5.0, 50.0]])


def predicted(z, doses, time, change=(0.0,)):
    time = jnp.asarray(time, float)
    order, paths = jnp.full_like(time, jnp.inf), Paths.of(doses)
    return DECODER.concentration(jnp.asarray(z), jnp.array(change), doses, time, order, paths=paths)


def test_z_is_the_logarithm_of_the_parameters():
    # bolus of 1000 mg, Vmax 20 mg/h, Km 5 mg/L, V 50 L: the reference table's closed form
    found = predicted(Z, Doses.of([0.0], 1000.0), [0.5, 2.0])
    np.testing.assert_allclose(found, [19.84012847964769, 19.36207904413886], rtol=1e-6)


def test_doses_do_not_add_up():
    once, twice = (predicted(Z, Doses.of([0.0], dose), [40.0])[0] for dose in (300.0, 600.0))
    assert not DECODER.linear
    assert float(twice) > 4 * float(once)


def test_a_change_of_the_parameters_acts_from_its_time_on():
    rows = np.log([[20.0, 5.0, 50.0], [1e-6, 5.0, 50.0]])
    found = predicted(rows, Doses.of([0.0], 1000.0), [2.0, 6.0, 30.0], change=(0.0, 6.0))
    constant = predicted(Z, Doses.of([0.0], 1000.0), [2.0, 6.0])
    np.testing.assert_allclose(found[:2], constant, rtol=1e-6)
    assert float(found[2]) == pytest.approx(float(found[1]), rel=1e-5)


def test_it_tells_how_well_its_course_was_resolved():
    end, change, doses = jnp.array(120.0), jnp.zeros(1), Doses.of([0.0], 1000.0)
    error = DECODER.error(jnp.asarray(Z), change, doses, end, paths=Paths.of(doses))
    assert 0 < float(error) < 1e-4


def test_doses_at_steady_state_are_refused():
    doses = Doses.of([0.0], 1000.0, interval=12.0, steady=1.0)
    with pytest.raises(InputError, match="SS"):
        predicted(Z, doses, [1.0])


@pytest.mark.long
def test_one_program_serves_many_patients():
    doses, change = Doses.of([0.0], 1000.0), jnp.zeros(1)
    time = jnp.array([2.0, 24.0])

    @eqx.filter_jit
    def many(z):
        order, paths = jnp.full_like(time, jnp.inf), Paths.of(doses)
        return jax.vmap(
            lambda row: DECODER.concentration(row[None], change, doses, time, order, paths=paths)
        )(z)

    rows = Z + np.random.default_rng(0).standard_normal((5, 3)) * 0.3
    each = [predicted(row[None], doses, time) for row in rows]
    np.testing.assert_allclose(many(rows), np.stack(each), rtol=1e-9)


def followed(name, parameters, change, time):
    decoder = MechanisticDecoder(parse_system(name))
    doses, time = Doses.of([0.0, 12.0], 100.0, depot=1.0), jnp.asarray(time)
    rows = jnp.log(jnp.broadcast_to(jnp.array(parameters), (len(change), len(parameters))))
    late, paths = jnp.full_like(time, jnp.inf), Paths.of(doses)
    return decoder.concentration(rows, jnp.array(change), doses, time, late, paths=paths)


def test_what_adds_up_is_the_same_in_closed_form_and_step_by_step():
    """The second set of parameters, equal to the first, makes the course be followed."""
    own, time = (8.0, 25.0, 0.35, 2.5, 0.6, 3.0), [0.5, 4.0, 13.0, 30.0]
    assert MechanisticDecoder(parse_system("dual-absorption")).linear
    closed = followed("dual-absorption", own, (0.0,), time)
    np.testing.assert_allclose(
        followed("dual-absorption", own, (0.0, 7.0), time), closed, rtol=1e-6
    )


def test_transit_compartments_do_not_follow_parameters_that_change():
    with pytest.raises(InputError, match="transit1 to transit9"):
        followed("1c-transit", (8.0, 25.0, 2.0, 5.7), (0.0, 7.0), [1.0])


def test_closed_forms_have_no_error_of_a_step():
    decoder = MechanisticDecoder(parse_system("1c-transit"))
    doses, end = Doses.of([0.0], 100.0, depot=1.0), jnp.array(12.0)
    rows = jnp.log(jnp.array([[8.0, 25.0, 2.0, 5.7]]))
    assert float(decoder.error(rows, jnp.zeros(1), doses, end, paths=Paths.of(doses))) == 0
    assert decoder.half_life(rows[0]) == pytest.approx(np.log(2) / 0.32)
