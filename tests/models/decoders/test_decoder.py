"""What holds for every decoder, and for the model and encoder around it."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from latentpk import precision
from latentpk.errors import ArtifactError
from latentpk.inference.elbo import make_draws, subject_terms
from latentpk.models.bundle import from_arrays, to_arrays
from latentpk.models.config import (
    CompartmentConfig,
    CovariateConfig,
    EncoderConfig,
    GridConfig,
    HybridConfig,
    KernelConfig,
    MechanisticConfig,
    ModelConfig,
    NeuralOdeConfig,
)
from latentpk.models.decoders.decoder import LOG_BOUND, bounded_exp, piece_at
from latentpk.models.latent import build

COVARIATES = (
    CovariateConfig(name="WT", log=True, center=4.2, scale=0.2),
    CovariateConfig(name="SEX", kind="binary"),
)
DECODERS = {
    "1c-iv": CompartmentConfig(structure="1c-iv"),
    "1c-oral-lag": CompartmentConfig(structure="1c-oral-lag"),
    "2c-iv": CompartmentConfig(structure="2c-iv"),
    "1c-mm-iv": MechanisticConfig(structure="1c-mm-iv"),
    "2c-mm-cl-oral-lag": MechanisticConfig(structure="2c-mm-cl-oral-lag"),
    "kernel": KernelConfig(modes=2, disposition=2, hidden=4),
    "kernel-sites": KernelConfig(
        modes=2, sites=2, disposition=2, absorption=2, bioavailability=True, hidden=4
    ),
    "neural-ode": NeuralOdeConfig(hidden=1, free=1, width=3, level_scale=5.0, target="SEX"),
    "neural-ode-depot": NeuralOdeConfig(depot=True, bioavailability=True, width=3),
    "hybrid": HybridConfig(structure="1c-iv", width=3, level_scale=5.0),
    "hybrid-oral": HybridConfig(structure="2c-oral-lag", residual=1, width=3),
    "grid": GridConfig(horizon=24, nodes=6, latent=3, hidden=4),
}
# the program is run once: it need not be fast
QUICK = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
ORAL = {"1c-oral-lag", "2c-mm-cl-oral-lag", "kernel-sites", "neural-ode-depot", "hybrid-oral"}


class Case:
    """One decoder in a model whose every parameter has left its start."""

    def __init__(self, name, record):
        # one of them with the attention prior; its kinetics compile fastest
        prior = "multiview" if name == "grid" else "linear"
        self.config = ModelConfig(
            covariates=COVARIATES,
            knowledge=("allometric_clearance", "allometric_volume"),
            prior=prior,
            prior_width=3,
            decoder=DECODERS[name],
            encoder=EncoderConfig(hidden=4, dose_scale=100.0),
        )
        rng = np.random.default_rng(0)
        self.model = jax.tree_util.tree_map(
            lambda x: x + 0.1 * rng.standard_normal(x.shape), build(self.config)
        )
        self.record = record
        self.draws = make_draws(rng, (), record.time.shape[0], 2, self.model.effects)
        self.step = None

    def traced_step(self):
        """The gradient of the loss in float32: its jaxpr, and its value on the record."""
        if self.step is None:
            single = precision.single((self.model, self.record))
            params, static = eqx.partition(single[0], eqx.is_inexact_array)

            def loss(params, record, draws):
                whole = eqx.combine(params, static)
                value, terms = subject_terms(whole, record, draws, beta=1.0)
                return value, terms

            step = jax.jit(jax.value_and_grad(loss, has_aux=True))
            inputs = (params, jax.tree_util.tree_map(jnp.asarray, single[1]), self.draws)
            traced = step.trace(*inputs)
            self.step = traced.jaxpr, traced.lower().compile(QUICK)(*inputs)
        return self.step


def width(decoder):
    """Of what the decoder is given: latent dimensions and the covariates it reads."""
    return decoder.latent + len(decoder.reads)


@pytest.fixture(scope="module", params=DECODERS)
def case(request, infused, swallowed):
    return Case(request.param, swallowed if request.param in ORAL else infused)


def test_a_dose_to_come_changes_nothing_before_it_where_the_decoder_is_causal(case):
    decoder, record = case.model.decoder, case.record
    z = 0.1 * jnp.ones((1, width(decoder)))
    first = jnp.min(jnp.where(record.doses.amount > 0, record.doses.time, jnp.inf))
    time = first + jnp.array([0.5, 3.0])

    @jax.jit
    def before(more):
        """Levels after the first dose, with one more dose ten hours later in a padded place."""
        own = jax.tree_util.tree_map(jnp.asarray, record.doses)
        free = jnp.argmin(own.amount + own.rate)
        later = eqx.tree_at(
            lambda doses: (doses.time, doses.amount),
            own,
            (own.time.at[free].set(first + 10.0), own.amount.at[free].set(more)),
        )
        order = jnp.full(time.shape, jnp.inf)
        return decoder.concentration(z, jnp.zeros(1), later, time, order, paths=record.paths)

    same = np.allclose(before(50.0), before(5000.0), rtol=1e-4)
    assert same == decoder.causal


def test_concentrations_are_finite_and_never_negative_for_wild_z(case):
    decoder, record = case.model.decoder, case.record
    rng = np.random.default_rng(1)
    size = width(decoder)
    wild = [np.full(size, 50.0), np.full(size, -50.0), *rng.choice([-50.0, 50.0], (8, size))]
    z = np.stack([np.zeros(size), *rng.standard_normal((5, size)), *wild])[:, None]
    time = np.array([-1.0, 0.0, 0.5, 12.0, 12.1, 30.0, 1e4])

    def each(z, doses, time):
        change, order = jnp.zeros(1), jnp.full(time.shape, jnp.inf)
        paths = record.paths
        return jax.vmap(
            lambda row: decoder.concentration(row, change, doses, time, order, paths=paths)
        )(z)

    curves = jax.jit(each, compiler_options=QUICK)(z, record.doses, time)
    assert curves.shape == (16, 7)
    assert np.isfinite(curves).all()
    assert (np.asarray(curves) >= 0).all()
    assert (curves[:, 0] == 0).all()  # before the first dose
    assert (curves[:6, 5] > 0).all()


@pytest.mark.parametrize("change", [(0.0,), (0.0, 9.0)])
def test_an_area_is_the_integral_of_the_concentration(case, change):
    """Trapezoids between events against the decoder's own way, closed form or quadrature."""
    decoder, record = case.model.decoder, case.record
    z = 0.3 * np.random.default_rng(2).standard_normal((len(change), width(decoder)))
    doses, change = jax.tree_util.tree_map(jnp.asarray, record.doses), jnp.array(change)
    ends = np.concatenate([decoder.corners(jnp.asarray(z), change, doses), change])
    edges = np.unique(np.clip(np.concatenate([ends, [2.0, 31.0]]), 2.0, 31.0))
    pieces = [np.linspace(a + 1e-9, b - 1e-9, 1500) for a, b in itertools.pairwise(edges)]
    time = np.concatenate(pieces)

    def each(z, doses, time):
        order = jnp.full(time.shape, jnp.inf)
        curve = decoder.concentration(z, change, doses, time, order, paths=record.paths)
        window = jnp.array(2.0), jnp.array(31.0)
        return curve, decoder.auc(z, change, doses, *window, paths=record.paths)

    curve, area = jax.jit(each, compiler_options=QUICK)(z, doses, time)
    truth = sum(
        np.trapezoid(height, piece)
        for height, piece in zip(np.asarray(curve).reshape(-1, 1500), pieces, strict=True)
    )
    # sites of a kernel have lags of their own: trapezoids cut those corners
    assert float(area) == pytest.approx(truth, rel=2e-4)


@pytest.mark.long
def test_every_parameter_has_a_finite_gradient(case):
    _, ((loss, terms), slopes) = case.traced_step()
    assert np.isfinite([loss, *terms]).all()
    found = jax.tree_util.tree_leaves_with_path(slopes)
    assert len(found) == len(to_arrays(case.model))
    for path, slope in found:
        name = jax.tree_util.keystr(path)
        assert np.isfinite(slope).all(), name
        assert slope.any() or name.endswith("query_map.bias"), name  # cancels, as tested there


def doubles(jaxpr):
    """Equations anywhere in a program with a float64 result; Python's own numbers are weak."""
    found = []
    for equation in jaxpr.eqns:
        found += [str(equation) for out in equation.outvars if is_double(out.aval)]
        for inner in jaxprs_in_params(equation.params):
            found += doubles(inner)
    return found


def is_double(aval):
    return getattr(aval, "dtype", None) == jnp.float64 and not aval.weak_type


@pytest.mark.long
def test_a_training_step_in_float32_stays_there(case):
    jaxpr, ((_, terms), slopes) = case.traced_step()
    assert doubles(jaxpr.jaxpr) == []
    assert {leaf.dtype for leaf in jax.tree_util.tree_leaves((terms, slopes))} == {
        np.dtype("float32")
    }


def test_arrays_give_the_same_model_back(case):
    arrays = to_arrays(case.model)
    assert {array.dtype for array in arrays.values()} == {np.dtype(float)}
    again = from_arrays(case.config, arrays)
    assert jax.tree_util.tree_structure(again) == jax.tree_util.tree_structure(case.model)
    for name, array in to_arrays(again).items():
        np.testing.assert_array_equal(array, arrays[name])


def test_arrays_that_do_not_fit_are_refused_together(case):
    arrays = to_arrays(case.model)
    name = (
        ".decoder.network.layers[0].weight"
        if "grid" in case.config.decoder.name
        else (".prior.slope")
    )
    broken = {
        "missing": {k: v for k, v in arrays.items() if k != name},
        "unknown": arrays | {".surprise": np.zeros(1)},
        "not float64": arrays | {name: arrays[name][:1]},
        "float32": arrays | {name: arrays[name].astype(np.float32)},
        "not finite": arrays | {name: np.full_like(arrays[name], np.nan)},
    }
    for fault, damaged in broken.items():
        with pytest.raises(ArtifactError, match=fault):
            from_arrays(case.config, damaged)


def test_bounded_exp_is_exp_within_its_bounds():
    x = jnp.array([-1e9, -18.0, 0.5, 18.0, 1e9])
    expected = np.exp([-LOG_BOUND, -18.0, 0.5, 18.0, LOG_BOUND])
    np.testing.assert_allclose(bounded_exp(x), expected)


def test_the_first_piece_also_holds_before_it_begins():
    change = jnp.array([2.0, 5.0, 5.0])
    time = jnp.array([0.0, 2.0, 4.9, 5.0, 9.0])
    np.testing.assert_array_equal(piece_at(time, change), [0, 0, 0, 2, 2])
