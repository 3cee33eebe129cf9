"""The posterior of one subject, and its predictions."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import numpy as np
import polars as pl
from jaxtyping import Float

from latentpk.dosing.patient import Patient
from latentpk.errors import InputError
from latentpk.inference.averaging import Say
from latentpk.inference.grouped import group_columns
from latentpk.inference.modes import newton_mode
from latentpk.inference.posterior import Posteriors
from latentpk.inference.prediction import Predictions, predict, resample, shifts, with_untold
from latentpk.inference.trust import Trust, reasons, worst
from latentpk.models.decoders.compartment import CompartmentDecoder
from latentpk.models.decoders.mechanistic import MechanisticDecoder
from latentpk.models.latent import LatentModel
from latentpk.models.record import Queries, Record, stack_records
from latentpk.records.subject import Subject


@dataclass(frozen=True, eq=False)
class Posterior:
    """The posterior of one subject.

    Attributes:
        model: The model it was computed with.
        subject: The subject.
        found: Draws and diagnostics; a block of one.
        undecided: Where doses of undecided route went: 0 central, 1 the absorption site.
        gates: The verdicts of gates A, B and C.
        seed: Of the draws.
        coming: What is said of doses to come, shape (covariate,); None where nobody said it.
    """

    model: LatentModel
    subject: Subject
    found: Posteriors
    undecided: float
    gates: tuple[Trust, ...]
    seed: int
    coming: Float[np.ndarray, " covariate"] | None = None

    @property
    def trust(self) -> Trust:
        """The three gates together: the worst verdict, and every reason."""
        return Trust(worst(self.gates), " ".join(reasons(self.gates)), "A, B and C")

    def say(self, name: str) -> Say:
        """What this posterior has to say in a panel of models, under the model's name."""
        evidence, ess = float(self.found.log_evidence[0]), float(self.found.ess[0])
        return Say(name, self.gates, evidence, len(self.subject.levels), ess)

    def predict(self, times: Any) -> "Profile":
        """Predict the concentration at times [h] on the subject's clock, after any dose there."""
        time = np.atleast_1d(np.asarray(times, np.float64))
        result = predict(
            self.model,
            self._record(),
            Queries(time[None], np.full_like(time, np.inf)[None]),
            self.found,
            seed=self.seed,
        )
        return Profile.of(time, result)

    def patient(self) -> Patient:
        """The record with all its doses and the draws, as exposures are computed from."""
        record = jax.tree_util.tree_map(lambda x: x[0], self._record(spare=1))
        eps = with_untold(self.found.eps[0], self.model.dimension(record), self.seed)
        shift = shifts(len(eps), self.seed)
        return Patient(self.model, record, eps, self.found.weight[0], shift, self.said)

    @property
    def said(self) -> Float[np.ndarray, " covariate"]:
        """The covariates of doses to come: as given, else the last dose's, else the reference."""
        doses, prior = self.subject.doses, self.model.prior
        if self.coming is not None:
            return self.coming
        if len(doses) > 0:
            return doses.state[np.lexsort((doses.order, doses.time))[-1]]
        return np.array(prior.reference_dose)

    @property
    def groups(self) -> dict[str, float]:
        """Probability of each group of people, as forecasts name it; empty where all are one."""
        return {name: float(column[0]) for name, column in group_columns(self.found).items()}

    @property
    def mode(self) -> Float[np.ndarray, " effect"]:
        """The highest mode (MAP) in eps, converged by exact Newton steps.

        In a population of several groups of people, that within the patient's likeliest group.

        Of a simulated decoder it is where Gauss-Newton ended: second slopes of a course cost more
        than they change.
        """
        return self._mode

    @property
    def map(self) -> dict[str, float]:
        """Parameters at the highest mode (MAP), a point and no posterior; compartment only.

        As `parameters` they are the patient's own, about which occasions vary.
        """
        names = self._names()
        return dict(zip(names, np.exp(self._latent(self._mode[None]))[0].tolist(), strict=True))

    @cached_property
    def _mode(self) -> Float[np.ndarray, " effect"]:
        if self.model.decoder.simulated:
            return self.found.mode[0]
        record = stack_records([self.subject], undecided=self.undecided)
        first = jax.tree_util.tree_map(lambda x: x[0], record)
        if self.found.group is None or self.found.likeliest is None:
            return np.asarray(newton_mode(self.model, first, self.found.mode[0]))
        group = int(self.found.group[0].argmax())
        own = newton_mode(self.model.of_group(group), first, self.found.likeliest.mode[0])
        frame = self.model.prior.frame(group)
        return np.asarray(frame.origin + frame.spread @ own)

    @property
    def typical(self) -> dict[str, float]:
        """Parameters at the prior's location with the last covariates; compartment only."""
        names, origin = self._names(), np.zeros((1, self.model.effects))
        return dict(zip(names, np.exp(self._latent(origin))[0].tolist(), strict=True))

    @property
    def parameters(self) -> pl.DataFrame:
        """Evenly weighted posterior draws of the parameters (L/h, L, 1/h, h); compartment only.

        Where patients vary between occasions these are the patient's own, about which occasions
        vary; an exposure counts that variation too.
        """
        names = self._names()
        return pl.DataFrame(np.exp(self._latent(resample(self.found)[0])), schema=list(names))

    def _names(self) -> tuple[str, ...]:
        decoder = self.model.decoder
        if not isinstance(decoder, CompartmentDecoder | MechanisticDecoder):
            raise InputError(
                "This decoder has no parameters to name. "
                "Predict with it, or fit with decoder='compartment'."
            )
        return decoder.structure.names

    def _latent(self, eps: Float[np.ndarray, "draw effect"]) -> Float[np.ndarray, "draw latent"]:
        model, record = self.model, self._record()
        first = jax.tree_util.tree_map(lambda x: x[0], record)
        location = np.asarray(model.location(first))[-1]
        return location + eps[:, : model.effects] @ np.asarray(model.prior.chol()).T

    def _record(self, *, spare: int = 0) -> Record:
        return stack_records(
            [self.subject],
            undecided=self.undecided,
            until_last_level=False,
            spare=spare if self.model.kappas else 0,
            tight=self.model.decoder.simulated,
        )


@dataclass(frozen=True, eq=False)
class Profile:
    """Concentrations of one subject [mg/L] at times [h], each shape (time,).

    Attributes:
        time: Time [h].
        pred: At the prior's location.
        pred_median: Median of the prior predictive.
        ipred: Posterior median.
        lo: 5 % quantile of the posterior.
        hi: 95 % quantile of the posterior.
        pi_lo: 5 % quantile of a new measurement.
        pi_hi: 95 % quantile of a new measurement.
    """

    time: Float[np.ndarray, " time"]
    pred: Float[np.ndarray, " time"]
    pred_median: Float[np.ndarray, " time"]
    ipred: Float[np.ndarray, " time"]
    lo: Float[np.ndarray, " time"]
    hi: Float[np.ndarray, " time"]
    pi_lo: Float[np.ndarray, " time"]
    pi_hi: Float[np.ndarray, " time"]

    @staticmethod
    def of(time: np.ndarray, block: Predictions) -> "Profile":
        """The first subject of a block."""
        names = ("pred", "pred_median", "ipred", "lo", "hi", "pi_lo", "pi_hi")
        return Profile(time, *(getattr(block, name)[0] for name in names))
