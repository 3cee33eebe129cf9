"""One patient as a model, or several, see one: a record, draws, what doses to come are like."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from latentpk.kinetics.doses import NUMBERS, Doses, Paths
from latentpk.models.latent import LatentModel
from latentpk.models.record import PIECES, SIZES, TIGHT, Record, pad_state, padded_size

LATE = 1e6  # h, after every window


@dataclass(frozen=True, eq=False)
class Patient:
    """One patient as a model sees it.

    Attributes:
        model: The model.
        record: The record, without a leading axis; its doses are what was given. The last of its
            occasions is one that no record is in.
        eps: Posterior draws, shape (draw, effect).
        weight: Their weights, which sum to 1, shape (draw,).
        shift: How far each draw lies from its own course where doses are beyond those that the
            model was trained on [SD], shape (draw,); None leaves every course as it is.
        coming: The covariates of doses to come, shape (covariate,); none where nothing is said.
    """

    model: LatentModel
    record: Record
    eps: Float[np.ndarray, "draw effect"]
    weight: Float[np.ndarray, " draw"]
    shift: Float[np.ndarray, " draw"] | None = None
    coming: Float[np.ndarray, " covariate"] = field(default_factory=lambda: np.zeros(0))

    def given(self, doses: Doses) -> "Patient":
        """The same patient with other doses, padded to a compiled size."""
        sizes = TIGHT if self.model.decoder.simulated else SIZES
        padded = _padded(self.stated(doses), sizes)
        return self._with(replace(self.record, doses=padded, paths=Paths.of(padded)))

    def stated(self, doses: Doses) -> Doses:
        """Doses with what is said of doses to come, where they say nothing themselves."""
        if self.coming.size == 0 or doses.state is not None:
            return doses
        count = np.asarray(doses.time).size
        return doses._replace(state=np.tile(self.coming, (count, 1)))

    def settled(self) -> "Patient":
        """The same patient with the last covariates for ever, as at steady state.

        Where patients vary between occasions, that is an occasion no level told of.
        """
        record = self.record
        return self._with(
            replace(
                record,
                change=record.change[-1:],
                covariates=record.covariates[-1:],
                occasion=np.full(1, record.occasions - 1),
            )
        )

    def renewed(self, start: float) -> "Patient":
        """The same patient in an occasion no level told of, from a time [h] on."""
        if self.model.kappas == 0:
            return self
        record, change = self.record, np.asarray(self.record.change)
        lasts = np.append(np.diff(change) > 0, True)  # padding does not
        before = np.flatnonzero(lasts & (change < start))
        now = max(int(np.searchsorted(change, start, side="right")) - 1, 0)
        kept = np.concatenate([before, [now], np.flatnonzero(lasts & (change > start))])
        moved, occasion = change[kept], np.asarray(record.occasion)[kept]
        moved[before.size], occasion[before.size :] = start, record.occasions - 1
        fields = {
            "change": moved,
            "covariates": np.asarray(record.covariates)[kept],
            "occasion": occasion,
        }
        last = np.minimum(np.arange(padded_size(kept.size, PIECES)), kept.size - 1)
        return self._with(replace(record, **{name: x[last] for name, x in fields.items()}))

    def at_mode(self, mode: Float[np.ndarray, " effect"]) -> "Patient":
        """The same patient with one draw, the mode; effects that no level told of are 0."""
        whole = np.zeros((1, self.eps.shape[1]))
        whole[0, : mode.size] = mode
        return replace(self, eps=whole, weight=np.ones(1), shift=None)

    def bare(self) -> "Patient":
        """The same patient with every course as the decoder has it, whatever is given."""
        return replace(self, shift=None)

    def factor(
        self, time: Float[np.ndarray, " time"], doses: Doses | None = None
    ) -> Float[np.ndarray, "#draw time"]:
        """What each draw's course is multiplied by where doses are beyond those trained on.

        Args:
            time: When [h], shape (time,).
            doses: Given; None takes the record's.

        Returns:
            Shape (draw, time); (1, time) and all 1 where nothing is beyond.
        """
        if self.shift is None or self.model.beyond is None:
            return np.ones((1, time.size))
        sd = self.model.beyond.sd(self.record.doses if doses is None else doses, time)
        return np.exp(np.outer(self.shift, sd)) if sd.any() else np.ones((1, time.size))

    def beside(self, mode: Float[np.ndarray, " effect"]) -> "Patient":
        """The same patient with the mode as a first draw, of weight 0, as in `at_mode`."""
        first = np.zeros((1, self.eps.shape[1]))
        first[0, : mode.size] = mode
        eps, weight = np.concatenate([first, self.eps]), np.append(0.0, self.weight)
        shift = None if self.shift is None else np.append(0.0, self.shift)
        return replace(self, eps=eps, weight=weight, shift=shift)

    def _with(self, record: Record) -> "Patient":
        return replace(self, record=record)

    @property
    def parts(self) -> "tuple[Patient, ...]":
        """One model's view: itself."""
        return (self,)

    def some(self, index: np.ndarray) -> "Patient":
        """The same patient with the draws at `index`, equally weighted."""
        even, shift = np.full(len(index), 1 / len(index)), self.shift
        shift = None if shift is None else shift[index]
        return replace(self, eps=self.eps[index], weight=even, shift=shift)


@dataclass(frozen=True, eq=False)
class Mixture:
    """One patient as several models see it; the draws of one follow those of another.

    Attributes:
        parts: The patient as each model sees it, with the same doses and levels.
        share: Weights of the models, above 0, which sum to 1, shape (part,).
    """

    parts: tuple[Patient, ...]
    share: Float[np.ndarray, " part"]

    @property
    def record(self) -> Record:
        """The first model's record: doses and levels are every model's."""
        return self.parts[0].record

    @property
    def weight(self) -> Float[np.ndarray, " draw"]:
        """Weights of all draws, which sum to 1."""
        pairs = zip(self.share, self.parts, strict=True)
        return np.concatenate([share * part.weight for share, part in pairs])

    def given(self, doses: Doses) -> "Mixture":
        """The same patient with other doses."""
        return Mixture(tuple(part.given(doses) for part in self.parts), self.share)

    def stated(self, doses: Doses) -> Doses:
        """Doses with what is said of doses to come, which is every model's."""
        return self.parts[0].stated(doses)

    def settled(self) -> "Mixture":
        """The same patient with the last covariates for ever."""
        return Mixture(tuple(part.settled() for part in self.parts), self.share)

    def renewed(self, start: float) -> "Mixture":
        """The same patient in an occasion no level told of, from a time [h] on."""
        return Mixture(tuple(part.renewed(start) for part in self.parts), self.share)

    def bare(self) -> "Mixture":
        """The same patient with every course as its decoder has it, whatever is given."""
        return Mixture(tuple(part.bare() for part in self.parts), self.share)

    def some(self, index: np.ndarray) -> "Mixture":
        """The same patient with the draws at `index`, increasing, equally weighted."""
        sizes = [part.weight.size for part in self.parts]
        whose = np.searchsorted(np.cumsum(sizes), index, side="right")
        first = np.cumsum([0, *sizes])
        few = [
            (part.some(index[whose == k] - first[k]), np.mean(whose == k))
            for k, part in enumerate(self.parts)
            if np.any(whose == k)
        ]
        return Mixture(tuple(part for part, _ in few), np.array([share for _, share in few]))


Seen = Patient | Mixture


def factor_on(patient: Seen, doses: Doses, time: float) -> Float[np.ndarray, " draw"] | None:
    """What doses beyond those trained on multiply each draw by at a time; None where none are."""
    parts = patient.parts
    each = [part.factor(np.array([time]), doses) for part in parts]
    if all((one == 1).all() for one in each):
        return None
    pairs = zip(parts, each, strict=True)
    return np.concatenate([np.broadcast_to(one[:, 0], part.weight.shape) for part, one in pairs])


def widened(patient: Seen, start: float, end: float) -> bool:
    """Whether some dose makes a course uncertain within a window, beyond its own draws."""
    ends = np.array([start, end])
    return any(bool((part.factor(ends) != 1).any()) for part in patient.parts)


def few(patient: Seen, draws: int) -> Seen:
    """The same patient with at most so many draws, evenly weighted, by systematic resampling."""
    weight = patient.weight
    if weight.size <= draws:
        return patient
    return patient.some(systematic(weight, draws))


def systematic(weight: Float[np.ndarray, " draw"], draws: int) -> np.ndarray:
    """Indices of draws that stand for all of them with even weights, increasing."""
    index = np.searchsorted(np.cumsum(weight) / weight.sum(), (np.arange(draws) + 0.5) / draws)
    return np.minimum(index, weight.size - 1)


def _padded(doses: Doses, sizes: Sequence[int]) -> Doses:
    """Pad to a compiled size by doses of nothing, so late that no curve is computed for them."""
    size = doses.time.shape[0]
    alone = size == 1 and bool(np.all(np.asarray(doses.steady) > 0))  # as every regimen is judged
    short = 0 if alone else padded_size(max(size, 1), sizes) - size

    def longer(name: str) -> np.ndarray:
        return np.pad(np.asarray(getattr(doses, name), float), (0, short))

    fields: dict[str, Any] = {name: longer(name) for name in NUMBERS}
    fields["time"] = np.pad(np.asarray(doses.time, float), (0, short), constant_values=LATE)
    state = None if doses.state is None else pad_state(np.asarray(doses.state), size + short)
    return Doses(**fields, state=state)
