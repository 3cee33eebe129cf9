"""-2 log likelihood of a cohort as a function of the numbers of a population model."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float

from latentpk.inference.marginal import Mode, Rule, find_mode, minus_two_log_likelihood, moved
from latentpk.models.latent import LatentModel
from latentpk.models.population import (
    RESIDUAL_TERMS,
    PopulationConfig,
    PopulationPrior,
    build_population,
)
from latentpk.models.record import Record

SPREAD = "log sd "  # how names of SDs of random effects begin
AT_ONCE = 2048  # points of all subjects followed side by side: more no longer fit the cache


class Places(NamedTuple):
    """Where each subject's points lie.

    Attributes:
        mode: Of the joint density, shape (subject, effect).
        points: What they lie around: the mode and its curvature, or the moments of their weights.
    """

    mode: Float[np.ndarray, "subject effect"]
    points: Mode


@dataclass(frozen=True, eq=False)
class Likelihood:
    """-2 log likelihood of a cohort as a function of the numbers to be estimated.

    Attributes:
        names: Of the numbers.
        start: Where they are in the model it was made of.
        place: Numbers and modes to begin at, to where each subject's points lie.
        evaluate: Numbers, and points placed there or near, to each subject's value and gradient.
        value: The same without the gradient.
        model_at: The model at some numbers.
        held: Whether the gradient is that of points that stay.
        noisy: Whether the points are draws.
        spreads: Which numbers are logarithms of SDs of random effects, that may go to 0.
    """

    names: tuple[str, ...]
    start: Float[np.ndarray, " number"]
    place: Callable[[np.ndarray, np.ndarray], Places]
    evaluate: Callable[[np.ndarray, Places], tuple[np.ndarray, np.ndarray]]
    value: Callable[[np.ndarray, Places], np.ndarray]
    model_at: Callable[[np.ndarray], LatentModel]
    held: bool
    noisy: bool
    spreads: Bool[np.ndarray, " number"]


def make_likelihood(model: LatentModel, records: Record, rule: Rule) -> Likelihood:
    """The likelihood of a population model and a cohort.

    Args:
        model: Of `build_population`.
        records: Stacked records.
        rule: Of as many effects as the records' occasions make.

    Returns:
        The likelihood.
    """
    prior = model.prior
    if not isinstance(prior, PopulationPrior):
        raise TypeError("only a population model is estimated")
    params, _ = eqx.partition(model, _moving(model))
    start, _ = ravel_pytree(params)
    together = 1 if model.decoder.simulated else max(1, AT_ONCE // len(rule.point))
    key = prior.config.key
    run = _programs(key, rule.exact, rule.held, together)
    placing, moving = _placing(key, not rule.held), _moving_points(key, together)
    data, points, weights = jax.tree_util.tree_map(jnp.asarray, (records, *rule[:2]))

    def place(flat: np.ndarray, warm: np.ndarray) -> Places:
        found = placing(jnp.asarray(flat), data, jnp.asarray(warm))
        around = found
        if rule.adapted:
            around = moving(jnp.asarray(flat), data, found, points, weights)
        return Places(np.asarray(found.eps), jax.tree_util.tree_map(np.asarray, around))

    def evaluate(flat: np.ndarray, places: Places) -> tuple[np.ndarray, np.ndarray]:
        around = _on_device(places.points)
        each, slope = run.evaluate(jnp.asarray(flat), data, around, points, weights)
        return np.asarray(each), np.asarray(slope)

    def value(flat: np.ndarray, places: Places) -> np.ndarray:
        around = _on_device(places.points)
        return np.asarray(run.value(jnp.asarray(flat), data, around, points, weights))

    names = number_names(prior.config)
    return Likelihood(
        names,
        np.asarray(start),
        place,
        evaluate,
        value,
        lambda flat: _maker(key)(jnp.asarray(flat)),
        rule.held,
        rule.adapted,
        np.array([name.startswith(SPREAD) for name in names]),
    )


# What a model and a kind of rule are compiled to, once in a process for each shape of data.


@cache
def _maker(key: str) -> Callable[[Array], LatentModel]:
    """The model at some numbers."""
    config = PopulationConfig.model_validate_json(key)
    skeleton = build_population(config, np.ones(len(config.parameters)))
    params, static = eqx.partition(skeleton, _moving(skeleton))
    _, unravel = ravel_pytree(params)
    return lambda flat: eqx.combine(unravel(flat), static)


@cache
def _placing(key: str, exact: bool) -> Callable[..., Mode]:
    model_at = _maker(key)

    @jax.jit
    def place(flat: Array, data: Record, warm: Array) -> Mode:
        model = model_at(flat)

        def one(item: tuple[Record, Array]) -> Mode:
            return find_mode(model, *item, exact=exact)

        size = 1 if model.decoder.simulated else warm.shape[0]
        return jax.lax.map(one, (data, warm), batch_size=size)

    return place


@cache
def _moving_points(key: str, together: int) -> Callable[..., Mode]:
    model_at = _maker(key)

    @jax.jit
    def move(flat: Array, data: Record, modes: Mode, points: Array, weights: Array) -> Mode:
        model, rule = model_at(flat), Rule(points, weights)
        size = min(together, modes.eps.shape[0])
        return jax.lax.map(
            lambda item: moved(model, item[0], item[1], rule), (data, modes), batch_size=size
        )

    return move


class _Programs(NamedTuple):
    value: Callable[..., Array]
    evaluate: Callable[..., tuple[Array, Array]]


@cache
def _programs(key: str, exact: bool, held: bool, together: int) -> _Programs:
    model_at = _maker(key)

    def each(flat: Array, item: tuple[Record, Mode], points: Array, weights: Array) -> Array:
        rule = Rule(points, weights, exact=exact, held=held)
        return minus_two_log_likelihood(model_at(flat), *item, rule)

    @jax.jit
    def value(flat: Array, data: Record, modes: Mode, points: Array, weights: Array) -> Array:
        size = min(together, modes.eps.shape[0])
        return jax.lax.map(
            lambda item: each(flat, item, points, weights), (data, modes), batch_size=size
        )

    @jax.jit
    def evaluate(
        flat: Array, data: Record, modes: Mode, points: Array, weights: Array
    ) -> tuple[Array, Array]:
        size = min(together, modes.eps.shape[0])
        slope = jax.value_and_grad(each)
        return jax.lax.map(
            lambda item: slope(flat, item, points, weights), (data, modes), batch_size=size
        )

    return _Programs(value, evaluate)


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


def number_names(config: PopulationConfig) -> tuple[str, ...]:
    """Names of the numbers that are estimated, in the order of the flat vector."""
    varying = config.varying
    return (
        *(f"log {name}" for name in config.parameters),
        *(name for term in config.terms for name in term.names),
        *(f"{SPREAD}{name}" for name in varying),
        *(f"factor {varying[i]},{varying[j]}" for i, j in config.correlations),
        *(f"{SPREAD}{name} within" for name in config.within),
        *(name.replace("_", " ") for name in RESIDUAL_TERMS[config.residual]),
    )
