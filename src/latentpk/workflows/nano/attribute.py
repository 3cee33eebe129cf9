"""What each property adds to each prediction of a particle model, by three ways of asking.

- `xgboost`: exact Shapley values of the boosted trees.
- `network`: integrated gradients, the mean over all networks, from the mean of the training
  particles' columns. What a knowledge feature adds is split evenly among the properties it is
  computed from, so that the sums are of properties alone; it is kept by feature too.
- `ensemble`: sampled Shapley values of what is predicted, the weighted mean of all members, from
  the mean prediction of some training particles.

All are on the log10 scale, so that a contribution of 0.3 is a factor of 2, and all sum to their own
prediction minus their own base.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from latentpk.models.attribution import (
    PLAYERS,
    by_owner,
    integrated_gradients,
    shapley_values,
)
from latentpk.models.descriptors import Descriptors, Properties
from latentpk.models.ensemble import MEMBERS, Ensemble, Learner
from latentpk.views.particle import FEATURES
from latentpk.workflows.nano.importance import by_property

Progress = Callable[[int, int, str], None]
NAMED = {"ACTIVE": "TS", "SPHERE": "SHAPE"}  # what the knowledge view calls otherwise
BLOCK = 256  # particles explained at once


@dataclass(frozen=True, eq=False)
class Method:
    """What one way of asking says.

    Attributes:
        prediction: Its own, log10, shape (row, target).
        base: Where contributions start, log10, shape (target,).
        features: What each feature adds, shape (row, target, feature); None where only properties
            are asked for.
        properties: What each of `PLAYERS` adds, shape (row, target, property).
        knowledge: What each knowledge feature adds before it is split; None where there is none.
    """

    prediction: Float[np.ndarray, "row target"]
    base: Float[np.ndarray, " target"]
    features: Float[np.ndarray, "row target feature"] | None
    properties: Float[np.ndarray, "row target property"]
    knowledge: Float[np.ndarray, "row target knowledge"] | None = None

    @property
    def gap(self) -> Float[np.ndarray, "row target"]:
        """What the contributions lack of prediction minus base."""
        return self.prediction - self.base - self.properties.sum(axis=2)


def attribute(
    ensemble: Ensemble,
    known: Properties,
    *,
    background: int,
    seed: int,
    progress: Progress | None = None,
) -> dict[str, Method]:
    """Ask in every way.

    Args:
        ensemble: The model.
        known: Particles to explain.
        background: Training particles that the ensemble's predictions are compared with.
        seed: Of their choice and the orders.
        progress: Called with (done, total, label).

    Returns:
        By name.
    """
    rng = np.random.default_rng(seed)
    seen = len(ensemble.domain.known)
    rows = np.sort(rng.choice(seen, size=min(background, seen), replace=False))
    others = ensemble.domain.known.take(rows)
    starts = range(0, len(known), BLOCK)
    found: list[dict[str, Method]] = []
    for done, start in enumerate(starts):
        if progress is not None:
            progress(done, len(starts), "contributions")
        block = known.take(np.arange(start, min(start + BLOCK, len(known))))
        found.append(
            {
                "ensemble": _of_ensemble(ensemble, block, others, seed=seed),
                "xgboost": _of_boosters(ensemble, block),
                "network": _of_networks(ensemble, block),
            }
        )
    if progress is not None:
        progress(len(starts), len(starts), "contributions")
    return {name: _joined([one[name] for one in found]) for name in found[0]}


def attention_map(
    ensemble: Ensemble, known: Properties
) -> Float[np.ndarray, "row target raw knowledge"] | None:
    """What each target reads of each knowledge feature through each raw one, mean over networks.

    None where networks have no knowledge view or do not attend; each target's map sums to 1.
    """
    config = ensemble.learners[0].networks[0].config
    if len(config.views) < 2 or not config.attends:
        return None
    maps = []
    for learner in ensemble.learners:
        views = learner.descriptors.encode(known).views
        own = [networks.attention(views)[0] for networks in learner.networks]
        maps.append(np.concatenate(own, axis=1))
    return np.mean(maps, axis=0)


def _of_boosters(ensemble: Ensemble, known: Properties) -> Method:
    descriptors = ensemble.descriptors
    boosters = ensemble.fitted["xgboost"]
    gaps = descriptors.encode(known).gaps
    added = boosters.contributions(gaps)
    scale = ensemble.scale[:, None]
    owner = descriptors.table_columns
    features = by_owner(added[:, :, :-1], owner, len(descriptors.features)) * scale
    base = ensemble.center + ensemble.scale * added[0, :, -1]
    prediction = ensemble.center + ensemble.scale * boosters.predict(gaps)
    return Method(prediction, base, features, by_property(features, descriptors))


def _of_networks(ensemble: Ensemble, known: Properties) -> Method:
    found = [_of_learner(learner, ensemble.domain.known, known) for learner in ensemble.learners]
    scale = ensemble.scale[:, None]
    features = np.mean([raw for raw, _, _ in found], axis=0) * scale
    of_knowledge = [own for _, own, _ in found if own is not None]
    knowledge = np.mean(of_knowledge, axis=0) * scale if of_knowledge else None
    if knowledge is not None:
        features = features + knowledge @ shares(ensemble.descriptors)
    base = ensemble.center + ensemble.scale * np.mean([base for _, _, base in found], axis=0)
    standard = np.mean([learner.predict(known) for learner in ensemble.learners], axis=0)
    prediction = ensemble.center + ensemble.scale * standard
    properties = by_property(features, ensemble.descriptors)
    return Method(prediction, base, features, properties, knowledge)


def _of_learner(
    learner: Learner, seen: Properties, known: Properties
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """What raw features and knowledge features add, and the base, standardized."""
    descriptors = learner.descriptors
    count = len(learner.networks[0].config.views)
    views = descriptors.encode(known).views[:count]
    baseline = tuple(view.mean(axis=0) for view in descriptors.encode(seen).views[:count])
    found = [integrated_gradients(networks, views, baseline) for networks in learner.networks]
    raw, *knowledge = (
        np.concatenate(own, axis=1) for own in zip(*(one.columns for one in found), strict=True)
    )
    base = np.concatenate([one.base for one in found])
    features = by_owner(raw, descriptors.columns, len(descriptors.features))
    return features, knowledge[0] if knowledge else None, base


def shares(descriptors: Descriptors) -> Float[np.ndarray, "knowledge feature"]:
    """How a knowledge feature's contribution is split among the features it is computed from."""
    needs = [[NAMED.get(need, need) for need in feature.needs] for feature in FEATURES]
    return np.array([[(f in own) / len(own) for f in descriptors.features] for own in needs])


def _of_ensemble(ensemble: Ensemble, known: Properties, others: Properties, *, seed: int) -> Method:
    def predict(rows: Properties) -> Float[np.ndarray, "row target"]:
        members = ensemble.members(rows)  # without intervals, which nobody asks for here
        stacked = np.stack([members[name] for name in MEMBERS])
        mean = np.einsum("mrt,mt->rt", stacked, ensemble.weights)
        return mean * ensemble.scale + ensemble.center

    added, base = shapley_values(predict, known, others, list(PLAYERS.values()), seed=seed)
    return Method(predict(known), base, None, added)


def _joined(parts: list[Method]) -> Method:
    def rows(values: list[np.ndarray | None]) -> np.ndarray | None:
        kept = [one for one in values if one is not None]
        return np.concatenate(kept) if kept else None

    prediction = np.concatenate([one.prediction for one in parts])
    properties = np.concatenate([one.properties for one in parts])
    features, knowledge = rows([p.features for p in parts]), rows([p.knowledge for p in parts])
    return Method(prediction, parts[0].base, features, properties, knowledge)
