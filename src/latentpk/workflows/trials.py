"""Trials of candidates, and which of two forecasts better by more than chance."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from latentpk.kinetics.systems import is_system
from latentpk.models.config import Frozen
from latentpk.records.subject import Cohort
from latentpk.workflows.setup import HYBRID

FREE = ("kernel", "grid", "neural_ode")  # decoders without a structure
Route = Literal["iv", "oral"]
PriorKind = Literal["linear", "multiview"]
FREE_GAIN = 0.1  # nats per level that a free curve must forecast better than a structure
LAG_GAIN = 0.5  # standard errors by which a lag must forecast better
THIRD_GAIN = 3.0  # standard errors by which a third compartment must forecast better
SECOND_GAIN = -1.0  # in a small cohort a second compartment may seem worse by this much
FOLDS_BELOW = 200  # fewer subjects than this are all held out in turn
FOLDS = 3
GAIN = 1.5  # standard errors by which a richer model must forecast better


def decided_route(cohort: Cohort, route: str) -> Route:
    """Where doses of undecided route go, where that is not tried: as asked, else as all others go.

    Args:
        cohort: Whose doses tell.
        route: "auto", "iv" or "oral".
    """
    if route == "auto":
        depot = np.concatenate([subject.doses.depot for subject in cohort])
        route = "oral" if depot.size and (depot == 1).all() else "iv"
    return "oral" if route == "oral" else "iv"


class Candidate(Frozen):
    """One way to model a cohort.

    Attributes:
        decoder: A structure such as "2c-iv" or "1c-mm-oral", or "kernel", "grid", "neural_ode", or
            "hybrid-" and the structure of its mechanism.
        route: Where doses of undecided route go.
        prior: "linear" or "multiview".
        components: Groups of people in the population.
    """

    decoder: str
    route: Route
    prior: PriorKind = "linear"
    components: int = 1

    def __str__(self) -> str:
        kinds = f", {self.components} groups" if self.components > 1 else ""
        return f"{self.decoder}, {self.prior} prior, undecided doses {self.route}{kinds}"

    @property
    def undivided(self) -> "Candidate":
        """The same with all people in one group."""
        return self.model_copy(update={"components": 1})


class Trial(Frozen):
    """A candidate and its held-out score of every subject [nats per level]."""

    candidate: Candidate
    scores: tuple[float, ...] = Field(repr=False)

    @property
    def mean(self) -> float:
        """Mean score over subjects."""
        return float(np.mean(self.scores))


def better(richer: Trial, simpler: Trial, *, few: bool = False) -> bool:
    """Whether the richer candidate forecasts better by more than one and a half standard errors.

    Two riches are dear to leave out and cheap to keep, so they need less: a lag half a standard
    error (where there is none it is learned to be short), and where subjects are few the second
    compartment after intravenous doses may even seem worse by one: sparse levels hardly show it,
    and most drugs have it. A third compartment needs twice as much: one that is made up hardly
    changes a forecast within the days observed, but takes clearance from every steady state. A free
    curve must also gain FREE_GAIN over a structure or a mechanism: trials are not
    polished, and polishing gives these more than it gives a free curve.
    """
    freed = is_free(richer.candidate.decoder) and not is_free(simpler.candidate.decoder)
    least = FREE_GAIN if freed else 0.0
    errors = _least_errors(richer.candidate.decoder, simpler.candidate.decoder, few=few)
    if len(richer.scores) != len(simpler.scores):
        return richer.mean > simpler.mean + least
    gain = np.asarray(richer.scores) - np.asarray(simpler.scores)
    error = np.std(gain, ddof=1) / np.sqrt(gain.size) if gain.size > 1 else 0.0
    return bool(np.mean(gain) > (max(errors * error, least) if freed else errors * error))


def _least_errors(richer: str, simpler: str, *, few: bool) -> float:
    """Standard errors by which a decoder must forecast better than another."""
    if richer == f"{simpler}-lag":
        return LAG_GAIN
    if richer[:2] == "3c" and simpler[:2] == "2c":
        return THIRD_GAIN
    second = few and (richer, simpler) == ("2c-iv", "1c-iv")
    return SECOND_GAIN if second else GAIN


def apart(one: Trial, other: Trial) -> float:
    """By how many standard errors two trials differ."""
    if len(one.scores) != len(other.scores) or len(one.scores) < 2:
        return float("inf")  # one could not be trained
    gain = np.asarray(one.scores) - np.asarray(other.scores)
    error = np.std(gain, ddof=1) / np.sqrt(gain.size)
    return float(abs(np.mean(gain)) / max(error, 1e-12))


def gain_of(one: Trial, other: Trial) -> float:
    """By how many standard errors one trial is better; not at all where one could not be made."""
    distance = apart(one, other)
    if not np.isfinite(distance):
        return float("-inf")
    return distance if one.mean > other.mean else -distance


def is_free(decoder: str) -> bool:
    """Whether a candidate's decoder learns the shape of its curves."""
    return decoder in FREE or decoder.startswith(HYBRID)


def is_closed(decoder: str) -> bool:
    """Whether a candidate's decoder is a closed form."""
    return not is_free(decoder) and not is_system(decoder)


def choose(trials: Sequence[Trial], *, few: bool = False) -> Trial:
    """Take the first, and each later one that is better than the one held."""
    best = trials[0]
    for trial in trials[1:]:
        if better(trial, best, few=few):
            best = trial
    return best


def folds(count: int, seed: int, *, every: bool = False) -> list[tuple[np.ndarray, np.ndarray]]:
    """Split subjects into (trained on, held out): thirds in turn, or one quarter of many."""
    order = np.random.Generator(np.random.Philox([seed, count])).permutation(count)
    if count >= FOLDS_BELOW and not every:
        held = count // 4
        return [(np.sort(order[held:]), np.sort(order[:held]))]
    parts = [np.sort(order[i :: min(FOLDS, count)]) for i in range(min(FOLDS, count))]
    return [(np.setdiff1d(order, part), part) for part in parts]
