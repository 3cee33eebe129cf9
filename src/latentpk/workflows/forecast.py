"""The forecast of a cohort as a table: one row per level and prediction time, in file order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from jaxtyping import Float

from latentpk.inference.averaging import Panel, Say
from latentpk.inference.grouped import group_columns
from latentpk.inference.posterior import Posteriors, PosteriorSettings, posteriors
from latentpk.inference.prediction import Part, Predictions, predict, predict_average
from latentpk.inference.trust import Domain, Trust, cautioned, gate_a, gate_b, gate_c
from latentpk.models.beyond import Beyond
from latentpk.models.latent import LatentModel
from latentpk.models.record import Record, stack_queries, stack_records, told_occasions
from latentpk.records.subject import Cohort, Subject

Progress = Callable[[int, int, str], None]
CHUNK = 512  # subjects stacked at once: bounds memory for any cohort
MANY = 128  # subjects from which a program of the cohort's own size pays
LONG = 64  # doses, levels or rows beyond which a subject gets a program of its own size


@dataclass(frozen=True)
class Judge:
    """The three gates with what they judge by.

    Attributes:
        domain: Where the model holds.
        settings: How posteriors are computed.
        half_life: Of the typical patient with given covariates [h].
        beyond: Which regimens the model was trained on, where it is to be asked.
        coming: The covariates of doses to come, where they were told: they are judged as well.
    """

    domain: Domain
    settings: PosteriorSettings
    half_life: Callable[[np.ndarray], float]
    beyond: Beyond | None = None
    coming: Float[np.ndarray, " covariate"] | None = None

    def __call__(self, posterior: Posteriors, index: int, subject: Subject) -> tuple[Trust, ...]:
        """Judge one subject of a block: gates A, B and C."""
        levels = subject.levels
        used = np.arange(posterior.residual.shape[1]) < len(levels)
        return (
            gate_a(posterior, index, self.settings),
            self._domain(subject),
            gate_c(posterior, index, used),
        )

    def _domain(self, subject: Subject) -> Trust:
        said = [] if self.beyond is None else self.beyond.words(subject.doses)
        return cautioned(self._known(subject), said)

    def _known(self, subject: Subject) -> Trust:
        """Gate B but for the regimen."""
        state = subject.doses.state
        known = (
            subject.covariates,
            subject.doses.time,
            subject.levels.time,
            subject.renal,
            subject.doses.amount,
            state if self.coming is None else np.vstack([state, self.coming]),
        )
        first = gate_b(self.domain, *known)
        if first.verdict == "ok":
            return first
        # one who eliminates slowly keeps a dose longer than the typical patient does
        own = replace(self.domain, half_life=self.half_life(subject.covariates[-1]))
        return gate_b(own, *known)


@dataclass(frozen=True, eq=False)
class Voice:
    """One model asked about a cohort.

    Attributes:
        name: Of the model.
        model: The model.
        cohort: The subjects, as read for it.
        undecided: Where doses of undecided route go: 0 central, 1 the absorption site.
        judge: The gates, and how posteriors are computed.
    """

    name: str
    model: LatentModel
    cohort: Cohort
    undecided: float
    judge: Judge

    def stacked(self, index: Sequence[int], *, until_last_level: bool) -> Record:
        """Records of some subjects."""
        return stack_records(
            [self.cohort.subjects[i] for i in index],
            undecided=self.undecided,
            until_last_level=until_last_level,
            tight=len(index) > MANY or self.model.decoder.simulated,
        )


def forecast_table(voices: Sequence[Voice], *, progress: Progress | None = None) -> pl.DataFrame:
    """Forecast every subject of a cohort, by one model or by the average of several.

    Args:
        voices: The models, each with the same subjects in the same order.
        progress: Called with (done, total, label).

    Returns:
        Columns ID TIME CMT DVID DV PRED PRED_MEDIAN IPRED LO HI PI_LO PI_HI PARETO_K ESS METHOD
        VERDICT REASON; concentrations in the unit of DV. Of several models PARETO_K and METHOD
        are those of the weightiest, and REASON begins with the weights. A model of several groups
        of people adds the probability of each, P_GROUP_1 (the largest), P_GROUP_2, ...
    """
    cohort = voices[0].cohort
    parts: list[pl.DataFrame] = []
    done = 0
    for group in groups(cohort.subjects):
        for start in range(0, len(group), CHUNK):
            index = group[start : start + CHUNK]
            parts.append(_chunk(voices, index, _shifted(progress, done, len(cohort))))
            done += len(index)
    table = pl.concat(parts).sort("row")
    return table.drop("row")


def groups(subjects: Sequence[Subject]) -> list[list[int]]:
    """Put subjects of ordinary length together and long ones by themselves, by their occasions."""
    long = [
        max(s.doses.time.size, s.outputs.time.size, s.covariate_time.size) > LONG for s in subjects
    ]
    return [
        [i for i in index if long[i] == kind]
        for kind in (False, True)
        for index in by_occasions(subjects)
        if kind in {long[i] for i in index}
    ]


def by_occasions(subjects: Sequence[Subject]) -> list[list[int]]:
    """Put subjects together whose levels tell of as many occasions.

    They have as many random effects, and so the same draws whoever else is in the file.
    """
    told = [told_occasions(s) for s in subjects]
    return [[i for i, one in enumerate(told) if one == count] for count in sorted(set(told))]


def _shifted(progress: Progress | None, before: int, total: int) -> Progress | None:
    if progress is None:
        return None
    return lambda done, _, label: progress(before + done, total, label)


def _chunk(
    voices: Sequence[Voice], index: Sequence[int], progress: Progress | None
) -> pl.DataFrame:
    seed = voices[0].judge.settings.seed
    subjects = [voices[0].cohort.subjects[i] for i in index]
    queries = stack_queries(subjects, tight=len(subjects) > MANY)
    known = [one.stacked(index, until_last_level=one.model.decoder.causal) for one in voices]
    found = [
        posteriors(one.model, records, one.judge.settings, progress)
        for one, records in zip(voices, known, strict=True)
    ]
    panels = [
        Panel.of([_say(one, its, i, place) for one, its in zip(voices, found, strict=True)])
        for i, place in enumerate(index)
    ]
    whole = [one.stacked(index, until_last_level=False) for one in voices]
    if len(voices) == 1:
        predictions = predict(
            voices[0].model, whole[0], queries, found[0], seed=seed, progress=progress
        )
    else:
        share = np.stack([panel.weight for panel in panels], axis=1)
        before = np.stack([panel.before for panel in panels], axis=1)
        parts = [
            Part(one.model, records, its, share[m], before[m])
            for m, (one, records, its) in enumerate(zip(voices, whole, found, strict=True))
        ]
        predictions = predict_average(parts, queries, seed=seed, progress=progress)
    return _table(voices[0].cohort, subjects, found, panels, predictions)


def _say(voice: Voice, found: Posteriors, i: int, place: int) -> Say:
    """What one model has to say of one subject of a block."""
    subject = voice.cohort.subjects[place]
    evidence, ess = float(found.log_evidence[i]), float(found.ess[i])
    return Say(voice.name, voice.judge(found, i, subject), evidence, len(subject.levels), ess)


def _table(
    cohort: Cohort,
    subjects: Sequence[Subject],
    found: Sequence[Posteriors],
    panels: Sequence[Panel],
    predictions: Predictions,
) -> pl.DataFrame:
    counts = [len(s.outputs) for s in subjects]
    unit = 1 / cohort.units.factor("DV")

    def rows(name: str) -> np.ndarray:
        return np.concatenate([getattr(s.outputs, name) for s in subjects])

    def curve(name: str) -> np.ndarray:
        values = getattr(predictions, name)
        return unit * np.concatenate([values[i, :n] for i, n in enumerate(counts)])

    k = np.array([found[panel.first].k[i] for i, panel in enumerate(panels)])
    method = [found[panel.first].method[i] for i, panel in enumerate(panels)]
    said = [" ".join([*filter(None, [panel.describe()]), *panel.reasons]) for panel in panels]
    owner = {
        "PARETO_K": np.where(np.isfinite(k), k, 0.0),
        "ESS": np.array([panel.ess for panel in panels]),
        "METHOD": np.array(method, object),
        "VERDICT": np.array([panel.verdict for panel in panels], object),
        "REASON": np.array(said, object),
    }
    columns: dict[str, object] = {
        "row": rows("row"),
        "ID": np.repeat(np.array([s.id for s in subjects], object), counts).tolist(),
        "TIME": rows("time_text").tolist(),
        "CMT": rows("cmt"),
        "DVID": rows("dvid"),
        "DV": rows("dv_text").tolist(),
    }
    names = ["pred", "pred_median", "ipred", "lo", "hi", "pi_lo", "pi_hi"]
    columns |= {name.upper(): curve(name) for name in names}
    groups = group_columns(found[0]) if len(found) == 1 else {}
    columns |= {name: np.repeat(value, counts).tolist() for name, value in groups.items()}
    columns |= {name: np.repeat(value, counts).tolist() for name, value in owner.items()}
    table = pl.DataFrame(columns, nan_to_null=True)
    return table.with_columns(_number(table[name]) for name in ("TIME", "CMT", "DVID", "DV"))


def _number(column: pl.Series) -> pl.Series:
    """Numbers where every entry is one (whole ones as integers), else the file's text."""
    missing = column.is_null() | column.cast(pl.String).is_in(["", "."])
    numbers = column.set(missing, None).cast(pl.Float64, strict=False)
    if (numbers.is_null() != missing).any():
        return column
    whole = column.name in ("CMT", "DVID") and bool((numbers.drop_nulls() % 1 == 0).all())
    return numbers.cast(pl.Int64) if whole else numbers
