"""A vancomycin clinic from beginning to end: simulate, train, forecast patients never seen.

A clinic is simulated from a published model. A ProfileVAE learns it from the records alone, reads
the first 48 hours of new patients, and forecasts what the laboratory will measure later. The
forecasts are scored against those measurements and against the true concentrations behind them.

    python examples/demo.py --out demo
"""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

from latentpk.cli.console import Console, Progress, start

DRUG = "vancomycin-goti-2018"
UNTIL = 48.0  # h; what is measured later is to be forecast


@dataclass(frozen=True)
class Size:
    """How much there is to do."""

    training: int = 300
    unseen: int = 100
    epochs: int = 150


def main() -> None:
    begun = time.monotonic()
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for the results")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--seed", type=int, default=1, help="of the clinic and of the training")
    options = parser.parse_args()
    console = start(quiet=False, threads=options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    paths = run(options.out, Size(), options.seed, console, begun)
    for path in paths:
        console.say(str(path))


def run(out: Path, size: Size, seed: int, console: Console, begun: float) -> list[Path]:
    """Do all of it.

    Args:
        out: The folder that the results go to.
        size: How much.
        seed: Of everything random.
        console: Where to report.
        begun: Time of `time.monotonic` when the work began [s].

    Returns:
        The files written: table, picture, summary.
    """
    import polars as pl

    from latentpk import ProfileVAE, read_nonmem
    from latentpk.report.plots import cohort_figure, save_figure
    from latentpk.report.table import csv_text
    from latentpk.storage import write_file
    from latentpk.workflows.simulate import simulate_truth

    total = size.training + size.unseen
    console.say(f"Simulating {total} patients of {DRUG}")
    with console.progress() as progress:
        clinic = simulate_truth(DRUG, total, seed, progress=progress)
    known = clinic.records.filter(pl.col("ID") <= size.training)
    unseen = clinic.records.filter(pl.col("ID") > size.training)
    truth = clinic.concentrations.filter(pl.col("ID") > size.training)

    cohort = read_nonmem(known)
    console.say(f"Training on {size.training} patients")
    model = ProfileVAE(decoder="compartment", prior="linear", epochs=size.epochs, seed=seed)
    with console.progress() as progress:
        model.fit(cohort, progress=progress)
    console.notices(model.notices)

    console.say(f"Forecasting {size.unseen} new patients from their first {UNTIL:g} hours")
    reading = dict(model.reading(), purpose="forecast", condition_until=UNTIL)
    patients = read_nonmem(unseen, **reading)
    with console.progress() as progress:
        table = model.forecast(patients, seed=seed, progress=progress)

    paths = [out / name for name in ("forecast.csv", "forecast.png", "summary.json")]
    write_file(paths[0], csv_text(table))
    later = table.with_columns(truth["CONC"]).filter(pl.col("TIME") > UNTIL)
    console.say("Drawing")
    with console.progress() as progress:
        curves = whole_curves(model, patients, progress)
    title = f"{DRUG}: {size.unseen} unseen patients, forecast from their first {UNTIL:g} hours"
    save_figure(cohort_figure(curves, held_out(later), title=title), paths[1])

    summary = {"drug": DRUG, "patients": {"training": size.training, "unseen": size.unseen}}
    summary |= {"chosen": str(model.fitted.chosen), "seed": seed, **scores(later)}
    summary["work_seconds"] = round(time.monotonic() - begun, 1)
    write_file(paths[2], json.dumps(summary, indent=2) + "\n")
    console.say(
        f"{100 * summary['coverage90']:.0f} % of {summary['later_levels']} later levels lie in "
        f"their 90 % interval; log RMSE {summary['log_rmse']:.3f}, that of the population "
        f"prediction {summary['log_rmse_population']:.3f}; {summary['work_seconds']:.0f} s of work"
    )
    return paths


def whole_curves(model, patients, progress: Progress) -> list:
    """Curves of the first six patients with two levels or more on either side of the line."""
    from latentpk.report.curves import curves

    def shown(subject) -> bool:
        early = len(subject.levels)
        return early >= 2 and int(subject.outputs.is_level.sum()) - early >= 2

    index = [i for i, subject in enumerate(patients) if shown(subject)][:6]
    return curves(lambda some: model.forecast(some, progress=progress), patients.subset(index))


def held_out(later):
    """The later levels beside their forecasts, for the picture."""
    from latentpk.report.plots import HeldOut

    columns = ("DV", "IPRED", "PI_LO", "PI_HI")
    return HeldOut(*(later[name].to_numpy() for name in columns))


def scores(later) -> dict[str, float]:
    """Share of new levels in their 90 % interval; error of log IPRED against the true curve."""
    import numpy as np

    truth = np.log(later["CONC"].to_numpy())

    def error(name: str) -> float:
        return float(np.sqrt(np.mean((np.log(later[name].to_numpy()) - truth) ** 2)))

    inside = (later["DV"] >= later["PI_LO"]) & (later["DV"] <= later["PI_HI"])
    return {
        "later_levels": len(later),
        "coverage90": round(float(inside.to_numpy().mean()), 4),
        "log_rmse": round(error("IPRED"), 4),
        "log_rmse_population": round(error("PRED"), 4),
    }


if __name__ == "__main__":
    main()
