"""The forecast of a cohort as a table: one row per level and prediction time, in file order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from latentpk.inference.posterior import Posteriors, PosteriorSettings, posteriors
from latentpk.inference.prediction import Predictions, predict
from latentpk.inference.trust import (
    Domain,
    Trust,
    gate_a,
    gate_b,
    gate_c,
    reasons,
    worst,
)
from latentpk.models.latent import LatentModel
from latentpk.models.record import stack_queries, stack_records
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
    """

    domain: Domain
    settings: PosteriorSettings
    half_life: Callable[[np.ndarray], float]

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
        times = (subject.doses.time, subject.levels.time)
        first = gate_b(self.domain, subject.covariates, *times, subject.renal)
        if first.verdict == "ok":
            return first
        # one who eliminates slowly keeps a dose longer than the typical patient does
        own = replace(self.domain, half_life=self.half_life(subject.covariates[-1]))
        return gate_b(own, subject.covariates, *times, subject.renal)


def forecast_table(
    model: LatentModel,
    cohort: Cohort,
    *,
    undecided: float,
    judge: Judge,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Forecast every subject of a cohort.

    Args:
        model: The model.
        cohort: The subjects.
        undecided: Where doses of undecided route go: 0 central, 1 the absorption site.
        judge: The gates, and how posteriors are computed.
        progress: Called with (done, total, label).

    Returns:
        Columns ID TIME CMT DVID DV PRED PRED_MEDIAN IPRED LO HI PI_LO PI_HI PARETO_K ESS METHOD
        VERDICT REASON; concentrations in the unit of DV.
    """
    parts: list[pl.DataFrame] = []
    done = 0
    for group in groups(cohort.subjects):
        for start in range(0, len(group), CHUNK):
            index = group[start : start + CHUNK]
            subjects = [cohort.subjects[i] for i in index]
            parts.append(
                _chunk(
                    model,
                    cohort,
                    subjects,
                    undecided,
                    judge,
                    _shifted(progress, done, len(cohort)),
                )
            )
            done += len(index)
    table = pl.concat(parts).sort("row")
    return table.drop("row")


def groups(subjects: Sequence[Subject]) -> list[list[int]]:
    """Put subjects of ordinary length together and long ones by themselves."""
    long = [
        max(s.doses.time.size, s.outputs.time.size, s.covariate_time.size) > LONG for s in subjects
    ]
    return [
        [i for i, is_long in enumerate(long) if is_long == kind]
        for kind in (False, True)
        if kind in long
    ]


def _shifted(progress: Progress | None, before: int, total: int) -> Progress | None:
    if progress is None:
        return None
    return lambda done, _, label: progress(before + done, total, label)


def _chunk(
    model: LatentModel,
    cohort: Cohort,
    subjects: Sequence[Subject],
    undecided: float,
    judge: Judge,
    progress: Progress | None,
) -> pl.DataFrame:
    settings = judge.settings
    tight = len(subjects) > MANY or model.decoder.simulated
    conditioned = stack_records(subjects, undecided=undecided, tight=tight)
    whole = stack_records(subjects, undecided=undecided, until_last_level=False, tight=tight)
    queries = stack_queries(subjects, tight=tight)
    posterior = posteriors(model, conditioned, settings, progress)
    predictions = predict(model, whole, queries, posterior, seed=settings.seed, progress=progress)
    return _table(cohort, subjects, posterior, predictions, judge)


def _table(
    cohort: Cohort,
    subjects: Sequence[Subject],
    posterior: Posteriors,
    predictions: Predictions,
    judge: Judge,
) -> pl.DataFrame:
    counts = [len(s.outputs) for s in subjects]
    unit = 1 / cohort.units.factor("DV")

    def rows(name: str) -> np.ndarray:
        return np.concatenate([getattr(s.outputs, name) for s in subjects])

    def curve(name: str) -> np.ndarray:
        values = getattr(predictions, name)
        return unit * np.concatenate([values[i, :n] for i, n in enumerate(counts)])

    trust = [judge(posterior, i, subject) for i, subject in enumerate(subjects)]
    owner = {
        "PARETO_K": np.where(np.isfinite(posterior.k), posterior.k, 0.0),
        "ESS": posterior.ess,
        "METHOD": np.array(posterior.method, object),
        "VERDICT": np.array([worst(gates) for gates in trust], object),
        "REASON": np.array([" ".join(reasons(gates)) for gates in trust], object),
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
