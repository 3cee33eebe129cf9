"""Covariates of simulated tacrolimus profiles: python -m benchmarks.tacrolimus.run --help."""

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.harness.cells import Cell, Ledger
from benchmarks.harness.task import run_task

Floats = NDArray[np.float64]
FOLDER = Path(__file__).parent
PATIENTS, DOSE = 500, 10_000.0  # ug
DESIGNS = ("dense", "sparse")
METHODS = {"likelihood": (1, 2, 3, 4, 5), "latent-kernel": (1, 2, 3)}  # and seeds
RATES = (0.1, 0.01)  # of false inclusion: the default, and one for who wants no other
ACTING = ("CYP3A5", "AGE", "ALB", "HGB")
DENSE = (0.25, 0.5, 1, 1.5, 2, 4, 6, 9, 12, 24, 36, 48)
SPARSE = ((1, 4), (6, 12), (20, 26))
ERROR = {"dense": (0.01, 0.0), "sparse": (0.113, 0.71)}  # of the level, and ng/mL
LOWEST = 1.0  # ng/mL that the assay sees
CARRIERS = (0.15, 0.6, 0.35, 0.45, 0.25)  # of CYP3A5*1, by ETHN
PROTOCOL = {"version": 2, "patients": PATIENTS, "false_inclusion": RATES}
LEDGER = Ledger(FOLDER, PROTOCOL)
UNITS = "AMT=ug,DV=ng/mL,ALB=g/L"


def plan() -> list[Cell]:
    """Each method on each design, seed after seed."""
    return [
        Cell({"design": design, "method": method, "seed": seed})
        for method, seeds in METHODS.items()
        for seed in seeds
        for design in DESIGNS
    ]


def people(rng: np.random.Generator) -> dict[str, Floats]:
    """Covariates of all patients: the four that act, and eleven that do not."""

    def near(other: Floats, together: float) -> Floats:
        return together * other + np.sqrt(1 - together**2) * rng.standard_normal(PATIENTS)

    z = rng.standard_normal((6, PATIENTS))
    sex = rng.integers(0, 2, PATIENTS).astype(float)
    ethnicity = rng.choice(5, PATIENTS, p=(0.5, 0.2, 0.12, 0.13, 0.05))
    protein = near(z[0], 0.4)  # albumin goes with hemoglobin
    known = {
        "CYP3A5": (rng.random(PATIENTS) < np.array(CARRIERS)[ethnicity]).astype(float),
        "AGE": np.clip(np.round(52 + 13 * z[1]), 18, 80),
        "ALB": np.clip(np.round(40 + 5 * protein, 1), 20, 55),
        "HGB": np.clip(np.round(12.3 - 1.0 * sex + 1.7 * z[0], 1), 6, 18),
        "WT": np.round((74 - 12 * sex) * np.exp(0.18 * z[2]), 1),
        "HT": np.round(176 - 13 * sex + 7 * near(z[2], 0.4)),
        "SEX": sex,
        "ETHN": ethnicity.astype(float),
        "HCT": np.round(36.5 - 3.0 * sex + 5.0 * near(z[0], 0.9), 1),
        "TP": np.round(68 + 7 * near(protein, 0.7), 1),
        "CREAT": np.round(115 * np.exp(0.35 * near(z[1], 0.4))),
        "ALT": np.round(25 * np.exp(0.6 * z[3])),
        "BILI": np.round(12 * np.exp(0.6 * z[4]), 1),
        "POD": np.round(7 + 360 * rng.random(PATIENTS)),
        "CYP3A4": (rng.random(PATIENTS) < 0.1).astype(float),
    }
    return {name: np.asarray(values, np.float64) for name, values in known.items()}


def levels(known: dict[str, Floats], design: str, rng: np.random.Generator) -> list[Floats]:
    """Times [h] and levels [ng/mL] of each patient, shape (2, level)."""
    spread = np.sqrt(np.log1p(np.array([0.24, 0.28, 0.31]) ** 2))
    ka, cl, v = np.array([4.5, 21.2, 716.0])[:, None] * np.exp(
        spread[:, None] * rng.standard_normal((3, PATIENTS))
    )
    cl = cl * 2.0 ** known["CYP3A5"] * (known["HGB"] * 3 / 35) ** -1.14
    cl = cl * (known["AGE"] / 50) ** -0.4 * (known["ALB"] / 40) ** -0.8
    share, absolute = ERROR[design]
    found = []
    for own_ka, k, own_v in zip(ka, cl / v, v, strict=True):
        low, high = np.transpose(SPARSE)
        times = np.array(DENSE) if design == "dense" else np.round(rng.uniform(low, high), 2)
        true = DOSE * own_ka / own_v / (own_ka - k) * (np.exp(-k * times) - np.exp(-own_ka * times))
        sd = np.sqrt(absolute**2 + (share * true) ** 2)
        seen = true + sd * rng.standard_normal(times.size)
        kept = seen >= (LOWEST if design == "sparse" else 0.0)
        found.append(np.stack([times, seen])[:, kept])
    return found


def simulate(design: str, seed: int) -> pl.DataFrame:
    """One population; patients are the same in both designs."""
    known = people(np.random.default_rng([seed, 1]))
    measured = levels(known, design, np.random.default_rng([seed, 2]))
    rows = []
    for number, own in enumerate(measured):
        person = tuple(float(column[number]) for column in known.values())
        rows.append((number + 1, 0.0, 1, 1, 1, DOSE, None, *person))
        rows += [(number + 1, t, 0, 0, 2, 0.0, level, *person) for t, level in own.T.tolist()]
    names = ["ID", "TIME", "EVID", "MDV", "CMT", "AMT", "DV", *known]
    return pl.DataFrame(rows, schema=names, orient="row", infer_schema_length=None)


def work(cell: Cell) -> dict[str, Any]:
    """What was found, and where, at both rates."""
    from latentpk.evaluate.covariates import choose

    settings = cell.settings
    table = simulate(settings["design"], settings["seed"])
    look = by_likelihood if settings["method"] == "likelihood" else in_latent_space
    begun = time.perf_counter()
    problem, directions = look(table, settings["seed"])
    seconds, found = time.perf_counter() - begun, {}
    for rate in RATES:
        choice = choose(problem, false_inclusion=rate, seed=settings["seed"])
        found[str(rate)] = {
            "threshold": round(choice.threshold, 3),
            "effects": [
                [directions[one.parameter], one.covariate, one.shape, round(gain, 2)]
                for one, gain in zip(choice.fit.chosen, choice.gains, strict=True)
            ],
        }
    return {"found": found, "seconds": seconds}


def by_likelihood(table: pl.DataFrame, seed: int) -> tuple[Any, tuple[str, ...]]:
    """What `latentpk covariates --structure 1c-oral` chooses from."""
    from latentpk.inference.estimation import EstimationSettings
    from latentpk.records.nonmem import read_nonmem
    from latentpk.workflows.population.discovery import make_problem
    from latentpk.workflows.population.fit import PopfitSettings, fit_population

    focei = EstimationSettings(method="focei")
    asked = PopfitSettings(structure="1c-oral", estimation=focei, seed=seed)
    cohort = read_nonmem(table, units=UNITS, negative="keep", purpose="fit")
    fit = fit_population(cohort, asked)
    values = np.stack([subject.covariates[0] for subject in cohort])
    return make_problem(fit, values), fit.config.varying


def in_latent_space(table: pl.DataFrame, seed: int) -> tuple[Any, tuple[str, ...]]:
    """Fit, write, open, and look in the latent space."""
    from latentpk import ProfileVAE, read_nonmem
    from latentpk.workflows.population.directions import discover_directions
    from latentpk.workflows.population.discovery import SearchSettings
    from latentpk.workflows.predictor import open_predictor

    with tempfile.TemporaryDirectory() as place:
        model = Path(place) / "tacrolimus.model"
        ProfileVAE(decoder="kernel", seed=seed).fit(read_nonmem(table, units=UNITS)).save(model)
        once = SearchSettings(permutations=50, resamples=0)  # its choice is made anew by `work`
        found = discover_directions(open_predictor(str(model)), table, once)
    return found.problem, found.directions


def summarize(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Each design, method and rate over its seeds; the bar is all four and no other."""
    table, bars = [], []
    for design in DESIGNS:
        for method in METHODS:
            own = [one for one in results if (one["design"], one["method"]) == (design, method)]
            for rate in RATES if own else ():
                row = {"design": design, "method": method, "false_inclusion": rate}
                table.append(row | _scored([one["found"][str(rate)]["effects"] for one in own]))
                bars.append(_bar(table[-1]))
    return {"table": table, "cells": results, "bars": bars}


def _scored(sets: list[list[list[Any]]]) -> dict[str, Any]:
    """How often each acting covariate was found, and what else."""
    names = [{covariate for _, covariate, *_ in effects} for effects in sets]
    elsewhere = [
        f"{covariate} on {place}"
        for effects in sets
        for place, covariate, *_ in effects
        if covariate in ACTING and place in ("v1", "ka")
    ]
    return {
        "sets": len(sets),
        "exact": sum(found == set(ACTING) for found in names),
        "found": {name: sum(name in found for found in names) for name in ACTING},
        "false": sorted(name for found in names for name in found - set(ACTING)),
        "elsewhere": sorted(elsewhere),
    }


def _bar(row: dict[str, Any]) -> dict[str, Any]:
    what = f"{row['design']}, {row['method']}, at {row['false_inclusion']:g}"
    return {
        "what": f"{what}: sets with the four that act and no other",
        "measured": f"{row['exact']} of {row['sets']}",
        "bar": "all",
        "met": row["exact"] == row["sets"],
    }


def main() -> None:
    """Run the chosen cells and write results.json from every finished one."""
    run_task(__doc__ or "", plan(), work, ledger=LEDGER, summarize=summarize)


if __name__ == "__main__":
    main()
