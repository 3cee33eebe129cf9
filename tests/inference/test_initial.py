import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latentpk.inference.initial import absent, largest, measure, place, search
from latentpk.kinetics.structure import Structure
from latentpk.models.config import (
    EncoderConfig,
    GridConfig,
    KernelConfig,
    ModelConfig,
    NeuralOdeConfig,
)
from latentpk.models.latent import build


@pytest.fixture(scope="module")
def scales(ward):
    return measure(ward)


def test_scales_are_read_off_the_levels_that_were_seen(ward, scales):
    time, value = ward.time[ward.mask], ward.value[ward.mask]
    assert scales.time == pytest.approx(np.quantile(time, 0.9))
    assert scales.early == pytest.approx(np.quantile(time, 0.1))
    assert scales.level == pytest.approx(np.median(value))
    assert scales.least == pytest.approx(np.quantile(value, 0.01))
    assert scales.dose == 100.0


def test_time_counts_from_the_first_dose_and_censored_levels_not_at_all(ward, scales):
    later = eqx.tree_at(
        lambda r: (r.time, r.doses.time),
        ward,
        (ward.time + 1000.0, ward.doses.time + 1000.0 * (ward.doses.amount > 0)),
    )
    moved = measure(later)
    assert (moved.time, moved.early) == pytest.approx((scales.time, scales.early))
    below = ward.value < scales.level
    censored = measure(eqx.tree_at(lambda r: r.censored, ward, below))
    assert censored.level > scales.level


def test_a_cohort_without_seen_levels_has_scales_too(ward):
    none = measure(eqx.tree_at(lambda r: r.mask, ward, np.zeros_like(ward.mask)))
    assert np.isfinite([none.time, none.early, none.level, none.dose, none.least]).all()


def test_the_search_finds_the_neighbourhood(start, ward, scales):
    found = search(start.decoder.structure, ward, scales, seed=0)
    np.testing.assert_allclose(found, np.log([4.0, 40.0]), atol=0.35)


@pytest.mark.parametrize("name", ["1c-iv", "2c-oral", "1c-oral-lag-f"])
def test_the_largest_structure_without_its_extras_is_the_smaller_one(name, scales):
    small = Structure.parse(name)
    whole = largest(small)
    theta = dict(zip(small.names, np.linspace(1.0, 2.0, len(small.names)), strict=True))
    nothing = np.exp(absent(whole.names, scales))
    values = [theta.get(n, none) for n, none in zip(whole.names, nothing, strict=True)]
    found = whole.response(jnp.array(values))
    expected = small.response(jnp.array(list(theta.values())))
    time = np.array([0.1, 1.0, 5.0])
    curves = [np.exp(-np.outer(time, r.rate)) @ np.asarray(r.weight) for r in (found, expected)]
    np.testing.assert_allclose(*curves, rtol=1e-6)
    for field in ("share", "ka", "alag"):
        pair = getattr(found, field), getattr(expected, field)
        np.testing.assert_allclose(*pair, atol=1e-4 * scales.early)


@pytest.mark.parametrize(
    "decoder",
    [
        KernelConfig(modes=3, hidden=4),
        NeuralOdeConfig(width=3, time_scale=20.0, level_scale=3.0, shortest=1.0),
        GridConfig(horizon=24.0, nodes=6, latent=2, hidden=4),
    ],
    ids=["kernel", "neural-ode", "grid"],
)
def test_a_free_decoder_starts_near_the_data(decoder, ward, scales, quick):
    scale = EncoderConfig(hidden=4, dose_scale=100.0)
    model = build(ModelConfig(decoder=decoder, encoder=scale))
    placed = place(model, ward, scales, seed=0)

    def typical(weights, records):
        model = eqx.combine(weights, rest)

        def curve(record):
            z = model.location(record)
            time = record.time
            return model.concentration(jnp.zeros(model.effects), z, record, time, record.order)

        return jax.vmap(curve)(records)

    rest = eqx.filter(model, eqx.is_array, inverse=True)
    program = quick(typical)
    misfit = []
    for each in (model, placed):
        f = np.asarray(program(eqx.filter(each, eqx.is_array), ward))[ward.mask]
        misfit.append(np.median(np.abs(np.log(f / ward.value[ward.mask]))))
    assert misfit[1] < (1.0 if decoder.name == "grid" else 0.4)
    assert misfit[1] < 0.5 * misfit[0]
