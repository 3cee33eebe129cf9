"""Covariate discovery on simulated populations: python -m benchmarks.covariates.run --help."""

import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.harness.cells import Cell, Ledger
from benchmarks.harness.task import run_task

FOLDER = Path(__file__).parent
SIZES, SETS = (80, 40, 300), 20
FACTORS = {
    "levels": ("dense", "sparse"),
    "effects": ("strong", "weak"),
    "covariates": ("independent", "correlated"),
    "shapes": ("smooth", "mixed"),
}
TIMES = {"dense": (0.5, 1.0, 2.0, 4.0, 8.0, 12.0, 24.0), "sparse": (1.0, 6.0, 20.0)}
CERTAIN = 1e4  # information of a log parameter that is known, to a hundredth
SIZE = {"strong": 1.0, "weak": 0.6}
PROTOCOL = {"version": 3, "sets": SETS, "false_inclusion": 0.1}
LEDGER = Ledger(FOLDER, PROTOCOL)
BARS = {40: 0.33, 80: 0.52, 300: 0.69}


def plan() -> list[Cell]:
    """What can be told at all, nulls, then the factorial, for each number of subjects."""
    cells = []
    for subjects in SIZES:
        cells.append(Cell({"kind": "known", "subjects": subjects}))
        cells += [
            Cell({"kind": "null", "subjects": subjects, "levels": levels, "covariates": kind})
            for levels in FACTORS["levels"]
            for kind in FACTORS["covariates"]
        ]
        cells += [
            Cell({"kind": "effects", "subjects": subjects} | dict(zip(FACTORS, one, strict=True)))
            for one in itertools.product(*FACTORS.values())
        ]
    return cells


def truth(settings: dict[str, Any]) -> dict[tuple[str, str], str]:
    """What acts, and in which shape."""
    if settings["kind"] == "null":
        return {}
    smooth = settings["shapes"] == "smooth"
    return {
        ("cl", "CRCL"): "power" if smooth else "linear",
        ("cl", "WT"): "power",
        ("v1", "WT"): "power",
        ("ka", "AGE") if smooth else ("v1", "SEX"): "exponential" if smooth else "category",
    }


def names_of_one_function(settings: dict[str, Any]) -> dict[tuple[str, str], set[str]]:
    """What acts, and all shapes that it is: weight to the power of 1 is a line through nothing."""
    found = {place: {shape} for place, shape in truth(settings).items()}
    if found and SIZE[settings["effects"]] == 1.0:
        found["v1", "WT"].add("linear")
    return found


def simulate(settings: dict[str, Any], seed: int) -> tuple[pl.DataFrame, np.ndarray]:
    """One population: one dose of 200 mg into one compartment through an absorption site.

    Beside the table each patient's logarithms of ka, CL and V.
    """
    rng = np.random.default_rng([seed, settings["subjects"]])
    acts, times = truth(settings), np.array(TIMES[settings["levels"]])
    size = SIZE[settings.get("effects", "strong")]
    together = 0.5 if settings["covariates"] == "correlated" else 0.0
    rows, own = [], []
    for number in range(1, settings["subjects"] + 1):
        z = rng.standard_normal(4)
        z[1:] = together * z[0] + np.sqrt(1 - together**2) * z[1:]
        weight, clearance = 70 * np.exp(0.35 * z[0]), 80 * np.exp(0.5 * z[1])
        age, albumin = np.clip(50 + 20 * z[2], 18, 95), 40 + 4 * z[3]
        sex = int(rng.integers(0, 2))
        ka, cl, v = np.array([1.2, 4.0, 40.0]) * np.exp(
            np.array([0.4, 0.25, 0.2]) * rng.standard_normal(3)
        )
        if acts:
            cl *= (weight / 70) ** (0.75 * size)
            v *= (weight / 70) ** (1.0 * size)
            if settings["shapes"] == "smooth":
                cl *= (clearance / 80) ** (0.6 * size)
                ka *= np.exp(-0.02 * size * (age - 50))
            else:
                cl *= max(1 + 0.01 * size * (clearance - 80), 0.05)
                v *= np.exp(-0.3 * size * sex)
        own.append(np.log([ka, cl, v]))
        k = cl / v
        level = 200 * ka / v / (ka - k) * (np.exp(-k * times) - np.exp(-ka * times))
        level = level * np.exp(0.12 * rng.standard_normal(times.size))
        known = (weight, age, clearance, sex, albumin)
        rows.append((number, 0.0, 1, 1, 1, 200.0, None, *known))
        rows += [(number, t, 0, 0, 2, 0.0, c, *known) for t, c in zip(times, level, strict=True)]
    names = ["ID", "TIME", "EVID", "MDV", "CMT", "AMT", "DV", "WT", "AGE", "CRCL", "SEX", "ALB"]
    table = pl.DataFrame(rows, schema=names, orient="row", infer_schema_length=None)
    return table, np.array(own)


def known(subjects: int) -> dict[str, Any]:
    """How often shapes are right where parameters are known, and what acts.

    No method that has levels instead can do better but by luck.
    """
    from latentpk.evaluate.covariates import UNUSUAL
    from latentpk.evaluate.effects import Problem, Summaries
    from latentpk.records.nonmem import read_nonmem
    from latentpk.workflows.population.discovery import candidates_of

    names, right, all_right = ("ka", "cl", "v1"), [], []
    scenarios = itertools.product(*(FACTORS[name] for name in ("effects", "covariates", "shapes")))
    for (effects, covariates, shapes), number in itertools.product(scenarios, range(SETS)):
        settings = {"kind": "effects", "subjects": subjects, "levels": "dense"}
        settings |= {"effects": effects, "covariates": covariates, "shapes": shapes}
        table, own = simulate(settings, number)
        cohort = read_nonmem(table)
        values = np.stack([subject.covariates[0] for subject in cohort])
        design, candidates = candidates_of(cohort, values, len(names))
        own = own - own.mean(axis=0)  # so that rounding is of what is compared
        exact = np.broadcast_to(CERTAIN * np.eye(len(names)), (*own.shape, len(names)))
        ideal = Problem(Summaries(CERTAIN * own, exact), design, candidates)
        wanted = names_of_one_function(settings)
        found = []
        for parameter, name in enumerate(names):  # they are independent
            each = [
                [one for one in candidates if one.place == (parameter, covariate)]
                for acted, covariate in wanted
                if acted == name
            ]
            costs = {}
            for chosen in itertools.product(*each):
                unusual = sum(one.shape in ("exponential", "linear") for one in chosen)
                costs[chosen] = ideal.fit(chosen).minus2 + UNUSUAL * unusual
            found += min(costs, key=lambda one: costs[one])
        hits = [one.shape in wanted[names[one.parameter], one.covariate] for one in found]
        right += [hit for hit, one in zip(hits, found, strict=True) if one.shape != "category"]
        all_right.append(all(hits))
    return {"all_shapes_right": float(np.mean(all_right)), "shapes_right": float(np.mean(right))}


def work(cell: Cell) -> dict[str, Any]:
    """Twenty data sets: how often what acts was found, and how long it took."""
    from latentpk.evaluate.covariates import choose, shape_probabilities
    from latentpk.inference.estimation import EstimationSettings
    from latentpk.records.nonmem import read_nonmem
    from latentpk.workflows.population.discovery import make_problem
    from latentpk.workflows.population.fit import PopfitSettings, fit_population

    settings = dict(cell.settings)
    if settings["kind"] == "known":
        return known(settings["subjects"])
    wanted, either = truth(settings), names_of_one_function(settings)
    asked = PopfitSettings(
        structure="1c-oral",
        error="lognormal",
        estimation=EstimationSettings(method="focei"),
        initial="ka=1,cl=4,v=40",
    )
    sets, named, shapes, false, arrived, seconds = 0, 0, 0, 0, 0, []
    said: list[float] = []
    right: list[bool] = []
    for number in range(SETS):
        table, _ = simulate(settings, number)
        begun = time.perf_counter()
        cohort = read_nonmem(table)
        fit = fit_population(cohort, asked)
        values = np.stack([subject.covariates[0] for subject in cohort])
        problem = make_problem(fit, values)
        choice = choose(problem, false_inclusion=0.1, seed=number)
        seconds.append(time.perf_counter() - begun)
        names = fit.config.varying
        found = {(names[one.parameter], one.covariate): one.shape for one in choice.fit.chosen}
        sets += set(found) == set(wanted)
        named += found == wanted
        shapes += set(found) == set(wanted) and all(found[at] in either[at] for at in found)
        for one in choice.fit.chosen:
            place = names[one.parameter], one.covariate
            if place in wanted and one.shape != "category":
                odds = shape_probabilities(problem, choice.fit, one)
                right.append(one.shape in either[place])
                alike = either[place] if right[-1] else {one.shape}
                said.append(sum(share for shape, share in odds.items() if shape in alike))
    return {
        "exact_set": sets / SETS,
        "exact_set_and_shape": shapes / SETS,
        "exact_set_and_name": named / SETS,
        "shapes_right": float(np.mean(right)) if right else None,
        "probability_said_of_shapes": float(np.mean(said)) if said else None,
        "any_false": false / SETS,
        "base_fits_arrived": arrived / SETS,
        "median_s": float(np.median(seconds)),
    }


def summarize(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over scenarios and bars, from whatever cells are done."""
    table, bars = {}, []
    for subjects in SIZES:
        own = [one for one in results if one["subjects"] == subjects]
        power = [one for one in own if one["kind"] == "effects"]
        null = [one for one in own if one["kind"] == "null"]
        ideal = [
            {name: one[name] for name in ("all_shapes_right", "shapes_right")}
            for one in own
            if one["kind"] == "known"
        ]
        if power:
            table[str(subjects)] = {
                "scenarios": len(power),
                "exact_set": float(np.mean([one["exact_set"] for one in power])),
                "exact_set_and_shape": float(
                    np.mean([one["exact_set_and_shape"] for one in power])
                ),
                **{
                    name: float(np.mean([one[name] for one in power]))
                    for name in ("exact_set_and_name", "any_false")
                },
                "shapes_right": float(np.mean([one["shapes_right"] for one in power])),
                "probability_said_of_shapes": float(
                    np.mean([one["probability_said_of_shapes"] for one in power])
                ),
                "with_parameters_known": next(iter(ideal), None),
                "median_s": float(np.median([one["median_s"] for one in power])),
            }
            value = table[str(subjects)]["exact_set_and_shape"]
            bars.append(
                {"what": f"{subjects} subjects: exact set and shape", "measured": round(value, 3),
                 "bar": f">= {BARS[subjects]}", "met": value >= BARS[subjects]}
            )  # fmt: skip
        if null:
            value = float(np.mean([one["any_false"] for one in null]))
            bars.append(
                {"what": f"{subjects} subjects: anything found where nothing acts",
                 "measured": round(value, 3), "bar": "<= .10", "met": value <= 0.1}
            )  # fmt: skip
        if subjects == 80 and power:
            value = table["80"]["median_s"]
            bars.append(
                {"what": "80 subjects: seconds a data set, in one process",
                 "measured": round(value, 2), "bar": "<= 5", "met": value <= 5}
            )  # fmt: skip
    cells = [one for one in results if one["kind"] != "known"]
    return {"table": table, "cells": cells, "bars": bars}


def main() -> None:
    """Run the chosen cells and write results.json from every finished one."""
    run_task(__doc__ or "", plan(), work, ledger=LEDGER, summarize=summarize)


if __name__ == "__main__":
    main()
