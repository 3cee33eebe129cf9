"""Every touch of the package's Python interface, in one file: what the benchmarks ask of it."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Recipe:
    """How a model of ours is fitted.

    Attributes:
        decoder: auto, compartment, kernel or grid.
        structure: auto or the name of a compartment structure.
        covariates: Columns used.
        seed: Of the training.
        route: Where doses go that the file leaves undecided.
        dose_covariates: Columns that say something of a dose.
    """

    decoder: str
    structure: str
    covariates: tuple[str, ...]
    seed: int
    route: Literal["auto", "iv", "oral"] = "auto"
    dose_covariates: tuple[str, ...] = ()


@dataclass(frozen=True)
class Later:
    """Forecast of each subject's times to predict, in file order.

    Attributes:
        ipred: Posterior median of the concentration [mg/L], shape (row,).
        pred: Population prediction [mg/L], shape (row,).
        low: PI_LO, 5 % of a new measurement [mg/L], shape (row,).
        high: PI_HI, 95 % of a new measurement [mg/L], shape (row,).
        methods: Share of subjects at each rung of the ladder.
    """

    ipred: Floats
    pred: Floats
    low: Floats
    high: Floats
    methods: dict[str, float]


def fit(path: Path, recipe: Recipe) -> tuple[Any, float]:
    """Read a table and fit it; the model and the seconds it took."""
    from latentpk import ProfileVAE, read_nonmem

    begun = time.perf_counter()
    cohort = read_nonmem(
        path,
        covariates=list(recipe.covariates),
        dose_covariates=recipe.dose_covariates,
        route=recipe.route,
    )
    model = ProfileVAE(decoder=recipe.decoder, structure=recipe.structure, seed=recipe.seed)
    fitted = model.fit(cohort)
    return fitted, time.perf_counter() - begun


def read_unseen(path: Path, model: Any) -> Any:
    """Read a table of patients to forecast, as the fitted model wants it read."""
    from latentpk import read_nonmem

    return read_nonmem(path, **model.reading(), purpose="forecast")


def forecast(model: Any, path: Path) -> tuple[Later, float]:
    """Forecast the rows of a table that are times to predict; the seconds it took.

    The table's times to predict must have an empty DV and its levels a value.
    """
    begun = time.perf_counter()
    frame = model.forecast(read_unseen(path, model))
    seconds = time.perf_counter() - begun
    return later_rows(frame, path), seconds


def later_rows(frame: pl.DataFrame, path: Path) -> Later:
    """The rows of forecast.csv that are times to predict, matched to the input row by row."""
    asked = pl.read_csv(path).filter(pl.col("EVID") != 1)  # one output row for each of these
    identifiers = frame["ID"].cast(pl.Utf8).to_list()
    if identifiers != asked["ID"].cast(pl.Utf8).to_list():
        raise ValueError("The forecast's rows are not the table's levels and times to predict.")
    wanted = frame.filter(asked["EVID"] == 2)
    columns = {
        name: wanted[name].cast(pl.Float64).to_numpy()
        for name in ("IPRED", "PRED", "PI_LO", "PI_HI")
    }
    first = frame.unique(subset="ID", maintain_order=True)
    rungs = first["METHOD"].value_counts(normalize=True)
    return Later(
        ipred=columns["IPRED"],
        pred=columns["PRED"],
        low=columns["PI_LO"],
        high=columns["PI_HI"],
        methods={name: round(share, 4) for name, share in rungs.iter_rows()},
    )


def map_forecast(model: Any, path: Path) -> Floats:
    """Concentrations [mg/L] at the posterior mode of each subject's times to predict, (row,)."""
    cohort = read_unseen(path, model)
    block = Block.of(model.model, cohort, oral=model.fitted.chosen.route == "oral")
    return block.at(block.posteriors(ladder=False).mode)


@dataclass(frozen=True)
class Block:
    """A latent model and a cohort to forecast with it, one level below ProfileVAE.

    Attributes:
        model: A LatentModel, trained or published.
        cohort: Subjects with levels and times to predict.
        records: Stacked records to condition on.
        whole: Stacked records with every dose, to predict with.
    """

    model: Any
    cohort: Any
    records: Any
    whole: Any

    @staticmethod
    def of(model: Any, cohort: Any, *, oral: bool = False) -> "Block":
        """Stack a cohort's records; `oral` says where doses of undecided route go."""
        from latentpk.models.record import stack_records

        subjects, undecided = cohort.subjects, float(oral)
        whole = stack_records(subjects, undecided=undecided, until_last_level=False)
        return Block(model, cohort, stack_records(subjects, undecided=undecided), whole)

    def posteriors(self, **settings: Any) -> Any:
        """Posteriors of all subjects; settings are those of PosteriorSettings."""
        from latentpk.inference.posterior import PosteriorSettings, posteriors

        return posteriors(self.model, self.records, PosteriorSettings(**settings))

    def later(self, posteriors: Any) -> Later:
        """Forecast the times to predict from given posteriors."""
        from latentpk.inference.prediction import predict
        from latentpk.models.record import stack_queries

        found = predict(self.model, self.whole, stack_queries(self.cohort.subjects), posteriors)
        rungs = posteriors.method
        return Later(
            ipred=self.asked(found.ipred),
            pred=self.asked(found.pred),
            low=self.asked(found.pi_lo),
            high=self.asked(found.pi_hi),
            methods={name: rungs.count(name) / len(rungs) for name in sorted(set(rungs))},
        )

    def at(self, eps: Floats) -> Floats:
        """Concentrations [mg/L] at one point eps (subject, effect) each, (row,)."""
        return self.later(self.given(eps[:, None, :])).ipred

    def given(self, eps: Floats) -> Any:
        """Evenly weighted draws eps (subject, draw, effect) as posteriors."""
        from latentpk.inference.posterior import Posteriors

        subjects, draws, _ = eps.shape
        nothing = np.full(subjects, np.nan)
        return Posteriors(
            eps=eps,
            weight=np.full((subjects, draws), 1 / draws),
            mode=eps[:, 0],
            objective=nothing,
            residual=nothing[:, None],
            k=nothing,
            ess=nothing,
            log_evidence=nothing,
            log_evidence_wide=nothing,
            log_evidence_slow=nothing,
            method=("is",) * subjects,
            rhat=nothing,
        )

    def asked(self, padded: Floats) -> Floats:
        """The times to predict of each subject out of a padded block of outputs, (row,)."""
        rows = [
            row[: len(one.outputs.time)][~one.outputs.is_level]
            for one, row in zip(self.cohort, padded, strict=True)
        ]
        return np.concatenate(rows)
