"""What each property adds to each prediction of a particle model, by three ways of asking.

- `prediction`: sampled Shapley values of what is predicted, from the mean prediction of some
  training particles: the weighted mean of all members, joined by the latent model's PBPK course
  where there is one. The mouse goes with what it belongs to: the tumor's blood flow, volume and
  blood with the tumor's size.
- `xgboost`: exact Shapley values of the boosted trees, a member of the ensemble.
- `network`: integrated gradients, the mean over the ensemble's networks, from the mean of the
  training particles' columns. What a knowledge feature adds is split evenly among the properties
  it is computed from, so that the sums are of properties alone; it is kept by feature too.

All are on the log10 scale, so that a contribution of 0.3 is a factor of 2, and all sum to their own
prediction minus their own base.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from latentpk.models.attribution import (
    PLAYERS,
    by_owner,
    integrated_gradients,
    shapley_values,
)
from latentpk.models.descriptors import NUMBERS, Descriptors, Properties
from latentpk.models.ensemble import Ensemble, Learner
from latentpk.models.tumor import Mouse
from latentpk.views.particle import FEATURES
from latentpk.workflows.nano.importance import by_property
from latentpk.workflows.nano.model import NanoModel
from latentpk.workflows.nano.table import USUAL

Progress = Callable[[int, int, str], None]
NAMED = {"ACTIVE": "TS", "SPHERE": "SHAPE"}  # what the knowledge view calls otherwise
BLOCK = 256  # particles explained at once
# Of `Mouse`, whose columns follow the numbers: flow, volume and blood are the tumor's, then weight
GOES_WITH = {"tumor size": (0, 1, 2), "body weight": (3,)}


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
    model: NanoModel,
    known: Properties,
    mouse: Mouse,
    *,
    background: int,
    seed: int,
    progress: Progress | None = None,
) -> dict[str, Method]:
    """Ask in every way.

    Args:
        model: The model.
        known: Particles to explain.
        mouse: Their mice.
        background: Training particles that predictions are compared with.
        seed: Of their choice and the orders.
        progress: Called with (done, total, label).

    Returns:
        By name.
    """
    ensemble = model.ensemble
    seen = len(ensemble.domain.known)
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(seen, size=min(background, seen), replace=False))
    others = ensemble.domain.known.take(rows)
    starts = range(0, len(known), BLOCK)
    found: list[dict[str, Method]] = []
    for done, start in enumerate(starts):
        if progress is not None:
            progress(done, len(starts), "contributions")
        rows = np.arange(start, min(start + BLOCK, len(known)))
        block = known.take(rows)
        found.append(
            {
                "prediction": _of_prediction(model, block, mouse.take(rows), others, seed=seed),
                "xgboost": _of_boosters(ensemble, block),
                "network": _of_networks(ensemble, block),
            }
        )
    if progress is not None:
        progress(len(starts), len(starts), "contributions")
    return {name: _joined([one[name] for one in found]) for name in found[0]}


def usual_mouse(known: Properties) -> Mouse:
    """Mice that nothing is known of but what particles' properties tell."""
    tumor, body = (np.exp(known.number[:, NUMBERS.index(name)]) for name in ("TW", "BW"))
    share = np.where(np.isnan(tumor / body), 0.01, tumor / body)
    flow, blood = (np.full(len(known), USUAL[name]) for name in ("QTC", "BVT"))
    return Mouse(flow, np.clip(share, 1e-5, 0.4), blood, body / 1000)


def attention_map(
    ensemble: Ensemble, known: Properties
) -> Float[np.ndarray, "row target raw knowledge"] | None:
    """What each target reads of each knowledge feature through each raw one, mean over networks.

    None where networks have no knowledge view or do not attend; each target's map sums to 1.
    """
    config = ensemble.learners[0].networks[0].config
    if not config.readable:
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


def _of_prediction(
    model: NanoModel, known: Properties, mouse: Mouse, others: Properties, *, seed: int
) -> Method:
    def predict(rows: Properties) -> Float[np.ndarray, "row target"]:
        number, own = np.split(rows.number, [len(NUMBERS)], axis=1)
        return model.predict_known(Properties(number, rows.code), Mouse(*own.T)).median

    players = [replace(player, further=GOES_WITH.get(name, ())) for name, player in PLAYERS.items()]
    whole = _with_mouse(known, mouse)
    added, base = shapley_values(
        predict, whole, _with_mouse(others, usual_mouse(others)), players, seed=seed
    )
    return Method(predict(whole), base, None, added)


def _with_mouse(known: Properties, mouse: Mouse) -> Properties:
    return Properties(np.column_stack([known.number, *mouse]), known.code)


def _joined(parts: list[Method]) -> Method:
    def rows(values: list[np.ndarray | None]) -> np.ndarray | None:
        kept = [one for one in values if one is not None]
        return np.concatenate(kept) if kept else None

    prediction = np.concatenate([one.prediction for one in parts])
    properties = np.concatenate([one.properties for one in parts])
    features, knowledge = rows([p.features for p in parts]), rows([p.knowledge for p in parts])
    return Method(prediction, parts[0].base, features, properties, knowledge)
