"""Several models of one drug asked together, each weighed by how well it explains the levels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from latentpk.errors import InputError
from latentpk.inference.trust import Verdict, reasons, worst
from latentpk.records.subject import Cohort
from latentpk.workflows.patient import Posterior
from latentpk.workflows.predictor import Predictor

HEARD = 0.05  # a model of less weight need not be explained
Pair = tuple[Predictor, Cohort]


@dataclass(frozen=True, eq=False)
class Panel:
    """What several models say of one patient; of one model, that model with weight 1.

    Attributes:
        names: Of the models.
        posteriors: One for each.
        weight: Posterior probabilities of the models, which sum to 1, shape (model,).
    """

    names: tuple[str, ...]
    posteriors: tuple[Posterior, ...]
    weight: Float[np.ndarray, " model"]

    @staticmethod
    def of(names: Sequence[str], posteriors: Sequence[Posterior]) -> "Panel":
        r"""Weigh models by the marginal likelihood of the patient's levels.

        .. math:: w_m = \frac{p(y | m)}{\sum_k p(y | k)}

        All are equally likely before the first level. A model that refuses the patient (gate A
        or B: no posterior, or a patient it was not built for) has no weight, unless all refuse.
        """
        # without levels the evidence is 1; its estimate is not quite
        log = np.array(
            [float(one.found.log_evidence[0]) * (len(one.subject.levels) > 0) for one in posteriors]
        )
        barred = np.array([worst(one.gates[:2]) == "refuse" for one in posteriors])
        barred |= ~np.isfinite(log)
        if barred.all():
            equal = np.full(len(posteriors), 1 / len(posteriors))
            return Panel(tuple(names), tuple(posteriors), equal)
        log = np.where(barred, -np.inf, log)
        weight = np.exp(log - log.max())
        return Panel(tuple(names), tuple(posteriors), weight / weight.sum())

    @property
    def ess(self) -> float:
        """Effective draws of the models' draws together."""
        each = np.array([float(one.found.ess[0]) for one in self.posteriors])
        return float(1 / np.sum(self.weight**2 / each))

    @property
    def verdict(self) -> Verdict:
        """The mildest verdict that models of at least half the weight agree to be deserved.

        `refuse` where such models refuse, `caution` where such models refuse or caution.
        """
        found = [worst(one.gates) for one in self.posteriors]

        def half(stricter: tuple[Verdict, ...]) -> bool:
            against = [w for w, v in zip(self.weight, found, strict=True) if v in stricter]
            return bool(sum(against) >= 0.5 - 1e-9)

        if half(("refuse",)):
            return "refuse"
        return "caution" if half(("refuse", "caution")) else "ok"

    @property
    def reasons(self) -> list[str]:
        """What the gates of each model with weight have to say, and whom no weight was given."""
        if len(self.names) == 1:
            return reasons(self.posteriors[0].gates)
        said = []
        for name, one, weight in zip(self.names, self.posteriors, self.weight, strict=True):
            told = " ".join(reasons(one.gates))
            if told and (weight >= HEARD or worst(one.gates[:2]) == "refuse"):
                said.append(f"{name} (weight {weight:.2f}): {told}")
        return said

    def mixed(self, weights: Sequence[Float[np.ndarray, " _"]]) -> Float[np.ndarray, " draws"]:
        """Weights of the models' draws, one after another."""
        pairs = zip(self.weight, weights, strict=True)
        return np.concatenate([share * weight for share, weight in pairs])


def check_alike(pairs: Sequence[Pair]) -> None:
    """Refuse models that cannot be averaged, and cohorts that are not the same patients.

    Raises:
        InputError: Models of different drugs or salts, the same model twice, cohorts of different
            patients or units, a cohort read for another model.
    """
    for predictor, cohort in pairs:
        predictor.check(cohort)
    (first, whole), *others = pairs
    problems = []
    names = [predictor.name for predictor, _ in pairs]
    problems += [
        f"{name} is named twice" for name in sorted({n for n in names if names.count(n) > 1})
    ]
    for predictor, cohort in others:
        drugs = {one.about.get("drug") for one in (first, predictor)} - {None}
        if len(drugs) > 1:
            problems.append(
                f"{first.name} is a model of {first.about['drug']} and {predictor.name} of "
                f"{predictor.about['drug']}"
            )
        elif predictor.salt_factor != first.salt_factor:
            problems.append(
                f"{first.name} counts doses with salt factor {first.salt_factor:g} and "
                f"{predictor.name} with {predictor.salt_factor:g}"
            )
        if [s.id for s in cohort] != [s.id for s in whole]:
            problems.append(f"{predictor.name} was given other patients than {first.name}")
        if any(cohort.units.unit(name) != whole.units.unit(name) for name in ("DV", "AMT")):
            problems.append(f"{predictor.name} reads AMT or DV in another unit than {first.name}")
    if problems:
        raise InputError(
            "Models are averaged over the same patients, drug and units: "
            + "; ".join(problems)
            + ". Leave one out."
        )
