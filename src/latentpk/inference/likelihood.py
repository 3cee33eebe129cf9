"""-2 log likelihood of a cohort as a function of the numbers of a population model."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Bool, Float

from latentpk.inference.ahead import Program
from latentpk.inference.marginal import Mode, Rule, find_mode, minus_two_log_likelihood, moved
from latentpk.models.latent import LatentModel
from latentpk.models.population import (
    RESIDUAL_TERMS,
    PopulationConfig,
    PopulationPrior,
    build_population,
)
from latentpk.models.record import Record, group_by_length, take

SPREAD = "log sd "  # how names of SDs of random effects begin
WORTH = 4e7  # doses times levels times points that a further program saves each time it runs
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
    config, run = _config_of(model), _programs_of(model, rule)
    groups, (points, weights) = _groups(records, rule), jax.device_put(tuple(rule[:2]))

    def each(ask: Callable[[np.ndarray, Record], Any]) -> Any:
        parts = [(group, jax.device_get(ask(group, data))) for group, data in groups]
        return jax.tree_util.tree_map(
            partial(_joined, [group for group, _ in parts]), *(part for _, part in parts)
        )

    def place(flat: np.ndarray, warm: np.ndarray) -> Places:
        def one(group: np.ndarray, data: Record) -> tuple[Array, Mode]:
            found = run.place(flat, data, warm[group])
            around = run.move(flat, data, found, points, weights) if rule.adapted else found
            return found.eps, around

        return Places(*each(one))

    def evaluate(flat: np.ndarray, places: Places) -> tuple[np.ndarray, np.ndarray]:
        return each(
            lambda group, data: run.evaluate(
                flat, data, take(places.points, group), points, weights
            )
        )

    def value(flat: np.ndarray, places: Places) -> np.ndarray:
        return each(
            lambda group, data: run.value(flat, data, take(places.points, group), points, weights)
        )

    names = number_names(config)
    return Likelihood(
        names,
        _numbers_in(model),
        place,
        evaluate,
        value,
        lambda flat: jax.device_put(_maker(config.key)(flat)),
        rule.held,
        rule.adapted,
        np.array([name.startswith(SPREAD) for name in names]),
    )


def compile_ahead(model: LatentModel, records: Record, rule: Rule, *, value: bool = False) -> None:
    """Begin to compile what a likelihood will run, beside whatever this thread does meanwhile.

    Args:
        model: As `make_likelihood` will be given, at any values.
        records: The same.
        rule: As `make_likelihood` will be given.
        value: Only the value, without the descent's programs.
    """
    run, flat = _programs_of(model, rule), _numbers_in(model)
    points, weights = jax.device_put(tuple(rule[:2]))
    effects = points.shape[1]
    for group, data in _groups(records, rule):
        subjects = len(group)
        nowhere = np.zeros((subjects, effects)), np.zeros((subjects, effects, effects))
        modes = Mode(*jax.device_put(nowhere))
        if value:
            run.value.ahead(flat, data, modes, points, weights)
            continue
        run.evaluate.ahead(flat, data, modes, points, weights)
        run.place.ahead(flat, data, modes.eps)
        if rule.adapted:
            run.move.ahead(flat, data, modes, points, weights)


def _groups(records: Record, rule: Rule) -> list[tuple[np.ndarray, Record]]:
    groups = group_by_length(records, worth=WORTH / len(rule.point))
    return [(group, jax.device_put(own)) for group, own in groups]


def _joined(groups: list[np.ndarray], *parts: np.ndarray) -> np.ndarray:
    """What was found of each group, in the order of all subjects."""
    whole = np.empty((sum(map(len, groups)), *parts[0].shape[1:]), parts[0].dtype)
    for group, part in zip(groups, parts, strict=True):
        whole[group] = part
    return whole


# What a model and a kind of rule are compiled to, once in a process for each shape of data.


class _Programs(NamedTuple):
    place: Program
    move: Program
    value: Program
    evaluate: Program


def _config_of(model: LatentModel) -> PopulationConfig:
    prior = model.prior
    if not isinstance(prior, PopulationPrior):
        raise TypeError("only a population model is estimated")
    return prior.config


def _programs_of(model: LatentModel, rule: Rule) -> _Programs:
    key = _config_of(model).key
    together = 1 if model.decoder.simulated else max(1, AT_ONCE // len(rule.point))
    value, evaluate = _evaluating(key, rule.exact, rule.held, together)
    return _Programs(_placing(key, not rule.held), _moving_points(key, together), value, evaluate)


def _numbers_in(model: LatentModel) -> Float[np.ndarray, " number"]:
    """The numbers that are estimated, where a model has them."""
    leaves = jax.tree_util.tree_leaves(eqx.filter(model, _moving(model)))
    return np.concatenate([np.ravel(leaf) for leaf in leaves])


@cache
def _maker(key: str) -> Callable[[Array | np.ndarray], LatentModel]:
    """The model at some numbers."""
    config = PopulationConfig.model_validate_json(key)
    skeleton = build_population(config, np.ones(len(config.parameters)))
    params, static = eqx.partition(skeleton, _moving(skeleton))
    leaves, tree = jax.tree_util.tree_flatten(params)
    shapes = [leaf.shape for leaf in leaves]
    ends = np.cumsum([leaf.size for leaf in leaves])

    def model_at(flat: Array | np.ndarray) -> LatentModel:
        parts = [
            flat[end - math.prod(shape) : end].reshape(shape)
            for end, shape in zip(ends, shapes, strict=True)
        ]
        return eqx.combine(jax.tree_util.tree_unflatten(tree, parts), static)

    return model_at


@cache
def _placing(key: str, exact: bool) -> Program:
    model_at = _maker(key)

    @Program
    def place(flat: Array, data: Record, warm: Array) -> Mode:
        model = model_at(flat)

        def one(item: tuple[Record, Array]) -> Mode:
            return find_mode(model, *item, exact=exact)

        size = 1 if model.decoder.simulated else warm.shape[0]
        return jax.lax.map(one, (data, warm), batch_size=size)

    return place


@cache
def _moving_points(key: str, together: int) -> Program:
    model_at = _maker(key)

    @Program
    def move(flat: Array, data: Record, modes: Mode, points: Array, weights: Array) -> Mode:
        model, rule = model_at(flat), Rule(points, weights)
        size = min(together, modes.eps.shape[0])
        return jax.lax.map(
            lambda item: moved(model, item[0], item[1], rule), (data, modes), batch_size=size
        )

    return move


@cache
def _evaluating(key: str, exact: bool, held: bool, together: int) -> tuple[Program, Program]:
    """Value, and value with gradient."""
    model_at = _maker(key)

    def each(flat: Array, item: tuple[Record, Mode], points: Array, weights: Array) -> Array:
        rule = Rule(points, weights, exact=exact, held=held)
        return minus_two_log_likelihood(model_at(flat), *item, rule)

    @Program
    def value(flat: Array, data: Record, modes: Mode, points: Array, weights: Array) -> Array:
        size = min(together, modes.eps.shape[0])
        return jax.lax.map(
            lambda item: each(flat, item, points, weights), (data, modes), batch_size=size
        )

    @Program
    def evaluate(
        flat: Array, data: Record, modes: Mode, points: Array, weights: Array
    ) -> tuple[Array, Array]:
        size = min(together, modes.eps.shape[0])
        slope = jax.value_and_grad(each)
        return jax.lax.map(
            lambda item: slope(flat, item, points, weights), (data, modes), batch_size=size
        )

    return value, evaluate


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
