"""One warm process, run by `run.py`: python -m benchmarks.dosing_speed.warm WHAT."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

THREADS, SINGLES, MANY, REPEATS = 2, 25, 10_000, 3
COHORT, SEED, PEER_DRAWS = "vancomycin-2c-infusion", 1, 10_000
MODEL = "vancomycin-thomson-2009"  # the cohort's own
DRAWS, LEAST = 8192, 0.5  # the defaults of `latentpk dose`
TARGETS = (  # model, target
    (MODEL, "vancomycin-auc24"),
    (MODEL, "trough=10:15"),
    ("gentamicin-hodiamont-2017", "gentamicin-peak"),
    ("meropenem-li-2006", "meropenem-ft-mic"),
)
AMOUNTS, INTERVALS = 20, (8.0, 12.0, 24.0)
CHUNK = 512  # subjects stacked at once, as a forecast stacks them


def recommendation() -> dict[str, Any]:
    """One patient at a time: posterior, then 60 regimens with the best time of the next level."""
    return {f"{model}, {target}": _recommendations(model, target) for model, target in TARGETS}


def _recommendations(name: str, text: str) -> dict[str, list[float]]:
    from latentpk.dosing.judge import DoseOptions
    from latentpk.dosing.recommend import recommend
    from latentpk.dosing.regimen import Practice
    from latentpk.dosing.target import parse_target
    from latentpk.workflows.predictor import open_predictor

    predictor, target = open_predictor(name), parse_target(text)
    assert predictor.design is not None
    dosing = predictor.design.dosing
    amounts = tuple(dosing.high * (k + 1) / AMOUNTS for k in range(AMOUNTS))
    practice = Practice(amounts=amounts, intervals=INTERVALS, infusions=(dosing.infusion_least,))
    options = DoseOptions(practice)
    assert len(practice.grid()) == 60
    subjects = _patients(predictor, SINGLES)
    found: dict[str, list[float]] = {"posterior": [], "recommendation": [], "both": []}
    for warming in (True, False):  # a first pass compiles
        for subject in subjects:
            spent, posterior = seconds(
                lambda one=subject: predictor.posterior(one, draws=DRAWS, least_ess=LEAST)
            )
            more, _ = seconds(lambda p=posterior: recommend(p, target, options))
            if not warming:
                found["posterior"].append(spent)
                found["recommendation"].append(more)
                found["both"].append(spent + more)
    return found


def _patients(predictor: Any, size: int) -> list[Any]:
    """Patients with one to four levels: the cohort's own, or simulated from another model."""
    from latentpk import read_nonmem

    if predictor.name == MODEL:
        return list(_cohort(predictor, size))
    from latentpk.workflows.simulate import simulate

    table = simulate(predictor.name, size, seed=SEED)
    return list(read_nonmem(table, **predictor.reading, purpose="forecast"))


def _cohort(predictor: Any, size: int) -> Any:
    from benchmarks.forecast_oracle import cohorts
    from benchmarks.forecast_oracle.populations import POPULATIONS
    from latentpk import read_nonmem

    patients = cohorts.unseen(POPULATIONS[COHORT], size, seed=SEED)
    with TemporaryDirectory() as folder:
        path = cohorts.write_forecast(patients, Path(folder) / "unseen.csv")
        return read_nonmem(path, **predictor.reading, purpose="forecast")


def many() -> dict[str, Any]:
    """Posteriors of 10,000 patients, ladder included; with gate C's rivals too."""
    from latentpk.inference.posterior import PosteriorSettings, posteriors
    from latentpk.models.record import stack_records
    from latentpk.workflows.predictor import open_predictor

    predictor = open_predictor(MODEL)
    subjects = list(_cohort(predictor, MANY))

    def everyone(settings: PosteriorSettings) -> list[str]:
        methods: list[str] = []
        for start in range(0, len(subjects), CHUNK):
            records = stack_records(subjects[start : start + CHUNK], tight=True)
            methods += posteriors(predictor.model, records, settings).method
        return methods

    plain, rival = PosteriorSettings(), PosteriorSettings(rival=True)
    everyone(plain)  # compiles
    timed = [seconds(lambda: everyone(plain)) for _ in range(REPEATS)]
    methods = timed[-1][1]
    return {
        "posteriors": [spent for spent, _ in timed],
        "posteriors with the rivals of gate C": [
            seconds(lambda: everyone(rival))[0] for _ in range(REPEATS)
        ],
        "draws": plain.draws,
        "rungs": {name: methods.count(name) / len(methods) for name in sorted(set(methods))},
    }


def peers() -> dict[str, Any]:
    """One patient at a time: weighted prior draws in numpy, MAP by scipy, NUTS by NumPyro."""
    import jax
    import numpy as np

    from benchmarks.forecast_oracle import cohorts
    from benchmarks.forecast_oracle.populations import POPULATIONS
    from benchmarks.speed.peers import prior_importance_sampling, scipy_map
    from latentpk.inference.nuts import CHAINS, nuts_batch
    from latentpk.models.record import stack_records
    from latentpk.workflows.predictor import open_predictor

    patients = cohorts.unseen(POPULATIONS[COHORT], SINGLES, seed=SEED)
    effects = len(patients.population.omega)
    normal = np.random.default_rng(1).standard_normal((PEER_DRAWS, effects))
    ones = [patients.take(slice(k, k + 1)) for k in range(SINGLES)]
    predictor = open_predictor(MODEL)
    records = [stack_records([subject]) for subject in _cohort(predictor, SINGLES)]
    begin, key = jax.numpy.zeros((1, CHAINS, effects)), jax.random.key(1)

    def nuts(record: Any) -> None:
        jax.block_until_ready(nuts_batch(predictor.model, record, begin, key))

    for record in records:  # compiles
        nuts(record)
    return {
        "numpy prior importance sampling, 10k draws": [
            seconds(lambda one=one: prior_importance_sampling(one, normal))[0] for one in ones
        ],
        "scipy MAP": [seconds(lambda one=one: scipy_map(one))[0] for one in ones],
        "NUTS (NumPyro's kernel, 2 chains of 300 + 500)": [
            seconds(lambda record=record: nuts(record))[0] for record in records
        ],
    }


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of a call, and what it gave."""
    begun = time.perf_counter()
    found = work()
    return time.perf_counter() - begun, found


WORK = {"recommendation": recommendation, "10000 patients": many, "peers": peers}


def main(what: str) -> None:
    """Run one kind of work in this process; prints JSON."""
    from latentpk.compilation import cache_programs, compile_quickly, set_threads

    set_threads(THREADS)
    compile_quickly()
    cache_programs()
    sys.stdout.write(json.dumps(WORK[what]()) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
