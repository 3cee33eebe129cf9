"""-2 log likelihood of a cohort as a function of the numbers of a population model."""

from collections.abc import Callable
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from latentpk.inference.marginal import Mode, Rule, find_mode, minus_two_log_likelihood
from latentpk.models.latent import LatentModel
from latentpk.models.population import RESIDUAL_TERMS, PopulationPrior
from latentpk.models.record import Record

AT_ONCE = 30_000  # points of all subjects that are followed side by side


@dataclass(frozen=True, eq=False)
class Likelihood:
    """-2 log likelihood of a cohort as a function of the numbers to be estimated.

    Attributes:
        names: Of the numbers.
        start: Where they are in the model it was made of.
        place: Numbers and modes to begin at, to each subject's mode and curvature.
        evaluate: Numbers, and modes placed there or near, to each subject's value and gradient.
        value: The same without the gradient.
        model_at: The model at some numbers.
        held: Whether the gradient is that of points that stay.
    """

    names: tuple[str, ...]
    start: Float[np.ndarray, " number"]
    place: Callable[[np.ndarray, np.ndarray], Mode]
    evaluate: Callable[[np.ndarray, Mode], tuple[np.ndarray, np.ndarray]]
    value: Callable[[np.ndarray, Mode], np.ndarray]
    model_at: Callable[[np.ndarray], LatentModel]
    held: bool


def make_likelihood(model: LatentModel, records: Record, rule: Rule) -> Likelihood:
    """Compile the likelihood of a population model and a cohort.

    Args:
        model: Of `build_population`.
        records: Stacked records.
        rule: Of as many effects as the records' occasions make.

    Returns:
        The likelihood.
    """
    moving = _moving(model)
    params, static = eqx.partition(model, moving)
    start, unravel = ravel_pytree(params)
    data = jax.tree_util.tree_map(jnp.asarray, records)
    count = records.mask.shape[0]
    simulated = model.decoder.simulated
    together = 1 if simulated else max(1, AT_ONCE // len(rule.point))

    def model_at(flat: Array) -> LatentModel:
        return eqx.combine(unravel(flat), static)

    @jax.jit
    def placing(flat: Array, warm: Array) -> Mode:
        def one(item: tuple[Record, Array]) -> Mode:
            return find_mode(model_at(flat), *item, exact=not rule.held)

        return jax.lax.map(one, (data, warm), batch_size=1 if simulated else count)

    @jax.jit
    def heights(flat: Array, modes: Mode) -> Array:
        def one(item: tuple[Record, Mode]) -> Array:
            return minus_two_log_likelihood(model_at(flat), *item, rule)

        return jax.lax.map(one, (data, modes), batch_size=min(together, count))

    @jax.jit
    def program(flat: Array, modes: Mode) -> tuple[Array, Array]:
        def one(item: tuple[Record, Mode]) -> tuple[Array, Array]:
            def value(x: Array) -> Array:
                return minus_two_log_likelihood(model_at(x), *item, rule)

            return jax.value_and_grad(value)(flat)

        return jax.lax.map(one, (data, modes), batch_size=min(together, count))

    def place(flat: np.ndarray, warm: np.ndarray) -> Mode:
        found = placing(jnp.asarray(flat), jnp.asarray(warm))
        return jax.tree_util.tree_map(np.asarray, found)

    def evaluate(flat: np.ndarray, modes: Mode) -> tuple[np.ndarray, np.ndarray]:
        each, slope = program(jnp.asarray(flat), _on_device(modes))
        return np.asarray(each), np.asarray(slope)

    return Likelihood(
        number_names(model),
        np.asarray(start),
        place,
        evaluate,
        lambda flat, modes: np.asarray(heights(jnp.asarray(flat), _on_device(modes))),
        lambda flat: model_at(jnp.asarray(flat)),
        rule.held,
    )


def _on_device(modes: Mode) -> Mode:
    return jax.tree_util.tree_map(jnp.asarray, modes)


def _moving(model: LatentModel) -> LatentModel:
    """Which leaves of a population model are estimated."""
    nothing = jax.tree_util.tree_map(lambda _: False, model)
    prior = jax.tree_util.tree_map(lambda _: True, model.prior)
    terms = RESIDUAL_TERMS[model.residual.kind]
    return eqx.tree_at(
        lambda m: (m.prior, *(getattr(m.residual, name) for name in terms)),
        nothing,
        (prior, *(True for _ in terms)),
    )


def number_names(model: LatentModel) -> tuple[str, ...]:
    """Names of the numbers that are estimated, in the order of the flat vector."""
    prior = model.prior
    if not isinstance(prior, PopulationPrior):
        raise TypeError("only a population model is estimated")
    config = prior.config
    varying = config.varying
    return (
        *(f"log {name}" for name in config.parameters),
        *(name for term in config.terms for name in term.names),
        *(f"log sd {name}" for name in varying),
        *(f"factor {varying[i]},{varying[j]}" for i, j in config.correlations),
        *(f"log sd {name} within" for name in config.within),
        *(name.replace("_", " ") for name in RESIDUAL_TERMS[config.residual]),
    )
