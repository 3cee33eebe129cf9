"""Several models' answers for one patient, each weighed by how well it explains the levels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from latentpk.inference.trust import Trust, Verdict, reasons, worst

HEARD = 0.05  # a model of less weight need not be explained
Gates = tuple[Trust, ...]


@dataclass(frozen=True)
class Say:
    """What one model has to say of one patient, beside its draws.

    Attributes:
        name: Of the model.
        gates: Its gates A, B and C.
        log_evidence: Marginal log likelihood of the levels.
        levels: How many there are.
        ess: Effective draws.
    """

    name: str
    gates: Gates
    log_evidence: float
    levels: int
    ess: float


@dataclass(frozen=True, eq=False)
class Panel:
    """What several models say of one patient; of one model, that model with weight 1.

    Attributes:
        says: One for each model.
        weight: Posterior probabilities of the models, which sum to 1, shape (model,).
    """

    says: tuple[Say, ...]
    weight: Float[np.ndarray, " model"]

    @staticmethod
    def of(says: Sequence[Say]) -> "Panel":
        r"""Weigh models by the marginal likelihood of the patient's levels.

        .. math:: w_m = \frac{p(y | m)}{\sum_k p(y | k)}

        All are equally likely before the first level. A model that refuses the patient (gate A
        or B: no posterior, or a patient it was not built for) has no weight, unless all refuse.
        """
        # without levels the evidence is 1; its estimate is not quite
        log = np.array([say.log_evidence if say.levels else 0.0 for say in says])
        barred = np.array([worst(say.gates[:2]) == "refuse" for say in says]) | ~np.isfinite(log)
        if barred.all():
            return Panel(tuple(says), np.full(len(says), 1 / len(says)))
        log = np.where(barred, -np.inf, log)
        weight = np.exp(log - log.max())
        return Panel(tuple(says), weight / weight.sum())

    @property
    def before(self) -> Float[np.ndarray, " model"]:
        """Weights before the first level: equal among the models with weight."""
        heard = self.weight > 0
        return heard / heard.sum()

    @property
    def first(self) -> int:
        """The model of most weight."""
        return int(np.argmax(self.weight))

    @property
    def ess(self) -> float:
        """Effective draws of the models' draws together."""
        each = np.array([say.ess for say in self.says])
        return float(1 / np.sum(self.weight**2 / each))

    @property
    def gates(self) -> Gates:
        """Gates A, B and C of the panel.

        Each gives the mildest verdict that models of at least half the weight agree to be
        deserved, the value of the weightiest model, and what each model with weight has to say;
        also why one has none.
        """
        if len(self.says) == 1:
            return self.says[0].gates
        return tuple(self._gate(k) for k in range(len(self.says[0].gates)))

    @property
    def verdict(self) -> Verdict:
        """The worst of the panel's gates."""
        return worst(self.gates)

    @property
    def reasons(self) -> list[str]:
        """Everything there is to say against the answer, refusals first."""
        return reasons(self.gates)

    def _gate(self, k: int) -> Trust:
        each = [say.gates[k] for say in self.says]

        def half(stricter: tuple[Verdict, ...]) -> bool:
            against = [
                w for w, one in zip(self.weight, each, strict=True) if one.verdict in stricter
            ]
            return bool(sum(against) >= 0.5 - 1e-9)

        verdict: Verdict = "refuse" if half(("refuse",)) else "ok"
        if verdict == "ok" and half(("refuse", "caution")):
            verdict = "caution"
        said = [
            f"{say.name} (weight {weight:.2f}): {one.reason}"
            for say, one, weight in zip(self.says, each, self.weight, strict=True)
            if one.reason and (weight >= HEARD or worst(say.gates[:2]) == "refuse")
        ]
        first = each[self.first]
        return Trust(verdict, " ".join(said), first.gate, first.value, first.threshold)

    def describe(self) -> str:
        """The models with their weights, the weightiest first; empty for one model."""
        if len(self.says) == 1:
            return ""
        ranked = np.argsort(-self.weight)
        return "Averaged: " + ", ".join(f"{self.says[i].name} {self.weight[i]:.2f}" for i in ranked)

    def mixed(self, weights: Sequence[Float[np.ndarray, " _"]]) -> Float[np.ndarray, " draws"]:
        """Weights of the models' draws, one after another."""
        pairs = zip(self.weight, weights, strict=True)
        return np.concatenate([share * weight for share, weight in pairs])
