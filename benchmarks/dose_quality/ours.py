"""What LatentPK recommends to a row's patients: with a published model, or with a trained one."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.dose_quality.patients import Patients, records
from benchmarks.dose_quality.rows import Row, card

DRAWS, LEAST = 8192, 0.5  # the defaults of `latentpk dose`
CHECKED = 20  # patients of a cell that `recommend` answers in full too


def fit(row: Row, subjects: int, seed: int, folder: Path) -> dict[str, Any]:
    """Train on patients simulated from the row's population, every option at its default."""
    from latentpk import ProfileVAE, read_nonmem
    from latentpk.workflows.simulate import simulate

    begun = time.perf_counter()
    table = simulate(card(row.name), subjects, seed=seed)
    cohort = read_nonmem(table, covariates=list(row.trained))
    model = ProfileVAE(seed=seed).fit(cohort)
    model.save(folder)
    return {"chosen": str(model.fitted.chosen), "fit_seconds": time.perf_counter() - begun}


def predictor(row: Row, arm: str, folder: Path) -> Any:
    """The published model behind the truth, another one, or the trained model in a folder."""
    from latentpk.library.catalog import read_model
    from latentpk.workflows.predictor import open_predictor, published_predictor

    if arm == "trained":
        return open_predictor(folder)
    return published_predictor(card(row.name) if arm == "library" else read_model(row.other))


def recommended(patients: Patients, levels: int, model: Any) -> dict[str, Any]:
    """The recommended amount a day [mg], None where refused, and the verdict of each patient.

    The target is an exposure at steady state, which is that of one regimen times the daily dose:
    one exposure of every draw ranks the whole grid. That this is what `recommend` answers is
    checked on the first patients, which it answers in full.

    Raises:
        RuntimeError: `recommend` gave one of them another dose.
    """
    from latentpk import read_nonmem

    cohort = read_nonmem(records(patients, levels), **model.reading, purpose="forecast")
    everyone = model.posteriors(cohort.subjects, draws=DRAWS, least_ess=LEAST)
    daily, verdict, rungs = [], [], []
    for k, posterior in enumerate(everyone):
        found, said = _chosen(patients, k, posterior)
        if k < CHECKED and _full(patients, k, posterior) != (found, said):
            raise RuntimeError(f"patient {k}: `recommend` gives another dose than {found} mg a day")
        daily.append(found)
        verdict.append(said)
        rungs.append(posterior.found.method[0])
    names, counts = np.unique(rungs, return_counts=True)
    share = {
        str(name): round(float(count) / len(rungs), 4)
        for name, count in zip(names, counts, strict=True)
    }
    return {"daily": daily, "verdict": verdict, "rungs": share}


def _chosen(patients: Patients, k: int, posterior: Any) -> tuple[float | None, str]:
    """Amount a day [mg] and verdict, ranked as `recommend` ranks."""
    from latentpk.dosing.exposure import at_steady_state, steady
    from latentpk.dosing.target import parse_target
    from latentpk.inference.trust import worst

    row, said = patients.row, worst(posterior.gates)
    if said == "refuse":
        return None, said
    target, interval = parse_target(row.target), row.intervals[0]
    one = steady(interval, row.infusion, float(row.oral), amount=interval / 24)  # 1 mg a day
    patient = posterior.patient()
    unit = at_steady_state(target.measure, patient.settled().given(one), interval)
    daily = np.array(sorted({regimen.daily for regimen in _practice(patients, k).grid()}))
    values = daily[:, None] * unit
    chance = ((values >= row.low) & (values <= row.high)) @ patient.weight
    loss = np.abs(target.aim - values) @ patient.weight
    best = min(
        range(daily.size), key=lambda i: (-round(chance[i], 3), round(loss[i] / target.aim, 3))
    )
    return float(daily[best]), said


def _full(patients: Patients, k: int, posterior: Any) -> tuple[float | None, str]:
    """Amount a day [mg] and verdict, by `recommend`."""
    from latentpk.dosing.judge import DoseOptions
    from latentpk.dosing.recommend import recommend
    from latentpk.dosing.target import parse_target

    row = patients.row
    options = DoseOptions(_practice(patients, k), depot=float(row.oral), sample=False)
    answer = recommend(posterior, parse_target(row.target), options)
    if answer.recommended is None:
        return None, answer.verdict
    return answer.alternatives[answer.recommended].regimen.daily, answer.verdict


def _practice(patients: Patients, k: int) -> Any:
    from latentpk.dosing.regimen import Practice

    row = patients.row
    one = {name: float(value[k]) for name, value in patients.covariates.items()}
    return Practice(amounts=row.amounts(one), intervals=row.intervals, infusions=(row.infusion,))
