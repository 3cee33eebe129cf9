"""Population fits against independent optima: python -m benchmarks.population.run --help.

Needs LATENTPK_DATA; the tables of trusted engines lie beside it, in reference/.
"""

import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness.cells import Cell, Ledger
from benchmarks.harness.task import run_task

FOLDER = Path(__file__).parent
PROTOCOL = {"version": 1, "errors": {"theo": "additive", "warfarin": "combined2"}}
LEDGER = Ledger(FOLDER, PROTOCOL)
FILES = {
    "theo120": "theo120.csv", "theo132": "theo132.csv", "warfarin": "warfarin_pk.csv",
    "simulated": "popfit_simulated.csv",
}  # fmt: skip
METHODS = {
    "exact marginal likelihood": None, "FOCEI": "focei", "Laplace (exact Hessian)": "laplace",
}  # fmt: skip
COLUMNS = {
    "ka": "KA", "ke": "KE", "cl": "CL", "v1": "V", "ka~WT": "BETA_KA_WT", "v1~WT": "BETA_V_WT",
    "om ka": "OM_SD_KA", "om ke": "OM_SD_KE", "om cl": "OM_SD_CL", "om v1": "OM_SD_V",
    "sigma_add": "SIGMA_ADD", "sigma_prop": "SIGMA_PROP",
}  # fmt: skip
REPEATS = 3
CLOCK = (
    "--structure", "1c-oral", "--parameters", "ka,ke,v", "--effects", "ka~WT,v~WT",
    "--error", "additive", "--quiet",
)  # fmt: skip
NLME = """
library(nlme)
d <- read.csv(commandArgs(TRUE)[1]); d$D <- ave(d$AMT, d$ID, FUN = max); d <- d[d$EVID == 0, ]
m <- function(t, D, lka, lke, lv) {
  ka <- exp(lka); ke <- exp(lke)
  D * ka / (exp(lv) * (ka - ke)) * (exp(-ke * t) - exp(-ka * t))
}
d$w <- log(d$WT / mean(tapply(d$WT, d$ID, mean)))
f <- nlme(DV ~ m(TIME, D, lka, lke, lv), data = d, method = "ML",
  fixed = list(lka ~ w, lke ~ 1, lv ~ w), random = pdDiag(lka + lke + lv ~ 1), groups = ~ ID,
  start = c(log(1.5), 0, log(0.08), log(32), 0))
cat(sprintf("%.6f", -2 * as.numeric(logLik(f))), sprintf("%.6f", fixef(f)), "\\n")
"""


def reference() -> Path:
    """The folder of tables."""
    return Path(os.environ["LATENTPK_DATA"]).parent / "reference"


def targets() -> list[dict[str, str]]:
    """Rows of popfit.csv that are optima, and those of the simulated population."""
    with (reference() / "popfit.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["USE_AS_TARGET"] == "yes"]
    with (reference() / "popfit_simulated_optimum.csv").open() as file:
        for row in csv.DictReader(file):
            exact = row["OBJECTIVE"] == "exact"
            own = row | {"DATA": "simulated", "PARAM": "KA_CL_V", "COVARIATES": "none"}
            key = "M2LL_EXACT_AT_ESTIMATES" if exact else "M2LL_FOCEI_AT_ESTIMATES"
            own["OBJECTIVE"] = "exact marginal likelihood" if exact else "FOCEI"
            rows.append(own | {"M2LL": row[key]})
    return rows


def plan() -> list[Cell]:
    """A cell for each target row, for each data set at fixed parameters, and the clock."""
    cells = [
        Cell(
            {
                "kind": "optimum",
                "data": row["DATA"],
                "form": row["PARAM"],
                "effects": row["COVARIATES"],
                "objective": row["OBJECTIVE"],
            }
        )
        for row in targets()
    ]
    cells += [Cell({"kind": "fixed", "data": data}) for data in FILES]
    cells += [Cell({"kind": "clock", "cache": "cold"}), Cell({"kind": "clock", "cache": "warm"})]
    return [*cells, Cell({"kind": "clinic"}), Cell({"kind": "nlme"})]


def work(cell: Cell) -> dict[str, Any]:
    """One cell."""
    settings = dict(cell.settings)
    kind = settings.pop("kind")
    if kind == "optimum":
        return _optimum(settings)
    if kind == "fixed":
        return _fixed(settings["data"])
    if kind == "clinic":
        return _clinic()
    return _clock(settings["cache"]) if kind == "clock" else _nlme()


def _optimum(settings: dict[str, Any]) -> dict[str, Any]:
    from latentpk.inference.estimation import EstimationSettings
    from latentpk.workflows.population.fit import PopfitSettings, fit_population

    row = next(
        one
        for one in targets()
        if (one["DATA"], one["PARAM"], one["COVARIATES"], one["OBJECTIVE"])
        == (settings["data"], settings["form"], settings["effects"], settings["objective"])
    )
    data = settings["data"]
    asked = PopfitSettings(
        structure="1c-oral",
        parameters=tuple(settings["form"].lower().split("_")),
        effects=None if settings["effects"] == "none" else "ka~WT,v~WT",
        error="additive" if data.startswith("theo") else "combined2",
        estimation=EstimationSettings(method=METHODS[settings["objective"]]),  # type: ignore[arg-type]
    )
    begun = time.perf_counter()
    fit = fit_population(reference() / FILES[data], asked)
    seconds = time.perf_counter() - begun
    found = fit.found
    worst = max(
        abs(value / float(row[COLUMNS[name]]) - 1)
        for name, value in _values(found.names, found.value).items()
        if row.get(COLUMNS.get(name, ""), "")
    )
    return {
        "minus2_log_likelihood": found.minus2,
        "over_the_reference": found.minus2 - float(row["M2LL"]),
        "largest_relative_difference_of_an_estimate": worst,
        "arrived": found.arrived,
        "rule": found.rule,
        "evaluations": found.evaluations,
        "seconds": seconds,
    }


def _values(names: tuple[str, ...], flat: np.ndarray) -> dict[str, float]:
    """Estimates by the names of `COLUMNS`."""
    words = {"log a": "sigma_add", "log b": "sigma_prop"}
    found = {}
    for name, value in zip(names, flat, strict=True):
        if "~" in name:
            found[name] = float(value)
        elif name in words:
            found[words[name]] = float(np.exp(value))
        else:
            found[name.removeprefix("log ").replace("sd ", "om ")] = float(np.exp(value))
    return found


def _fixed(data: str) -> dict[str, Any]:
    """Every approximation at round parameters against the reference, per subject."""
    from latentpk.inference.estimation import EstimationSettings
    from latentpk.workflows.population.fit import PopfitSettings, fit_population

    start = {
        "theo": "ka=1.6,cl=2.75,v=31.9,om_ka=.6,om_cl=.26,om_v=.13,sigma_add=.7",
        "warf": "ka=.6,cl=.135,v=7.9,om_ka=.7,om_cl=.28,om_v=.22,sigma_add=.7,sigma_prop=.12",
        "simu": "ka=1.2,cl=3,v=20,om_ka=.5,om_cl=.25,om_v=.2,sigma_add=.15,sigma_prop=.12",
    }[data[:4]]
    name = "popfit_simulated_fixed.csv" if data == "simulated" else "popfit_fixed.csv"
    with (reference() / name).open() as file:
        rows = [
            row
            for row in csv.DictReader(file)
            if row["ID"] != "TOTAL" and row.get("DATA", data) == data
        ]
    found = {}
    for column, method, nodes in (
        ("M2LL_FOCEI", "focei", None),
        ("M2LL_LAPLACE", "laplace", None),
        ("M2LL_AGHQ5", "quadrature", 5),
        ("M2LL_AGHQ15", "quadrature", 15),
        ("M2LL_AGHQ25", "quadrature", 25),
    ):
        asked = PopfitSettings(
            structure="1c-oral",
            parameters=("ka", "cl", "v"),
            error="additive" if data.startswith("theo") else "combined2",
            initial=start,
            estimation=EstimationSettings(method=method, nodes=nodes, evaluations=0),  # type: ignore[arg-type]
        )
        each = fit_population(reference() / FILES[data], asked).found.each
        want = np.array([float(row[column]) for row in rows])
        found[column] = float(np.abs(each - want).max())
    return {"largest_difference_of_a_subject": found}


def _clock(cache: str) -> dict[str, Any]:
    """Whole processes of the theophylline fit, with an empty or a filled folder of programs."""
    with tempfile.TemporaryDirectory() as folder:
        out, seconds, minus2 = Path(folder) / "fit.json", [], 0.0
        programs = Path(folder) / "programs"
        data = str(reference() / FILES["theo120"])
        for repeat in range(REPEATS + (cache == "warm")):
            if cache == "cold":
                shutil.rmtree(programs, ignore_errors=True)
            environment = os.environ | {"XDG_CACHE_HOME": str(programs)}
            begun = time.perf_counter()
            subprocess.run(
                [sys.executable, "-c", "from latentpk.cli.main import main; main()", "popfit", data,
                 *CLOCK, "--out", str(out)],
                check=True, env=environment,
            )  # fmt: skip
            if cache == "cold" or repeat:
                seconds.append(time.perf_counter() - begun)
            minus2 = json.loads(out.read_text())["likelihood"]["minus2_log_likelihood"]
    times = {"median_s": float(np.median(seconds)), "seconds": seconds}
    return times | {"minus2": minus2, "plain_loop_s": _pace()}


def _pace() -> float:
    """Seconds of twenty million additions in Python: how fast the machine is just now."""
    begun, total = time.perf_counter(), 0
    for _ in range(20_000_000):
        total += 1  # noqa: SIM113  (the loop is what is timed)
    return time.perf_counter() - begun


def _clinic() -> dict[str, Any]:
    """The README's own command: four random effects, of which two are nothing, by sampling."""
    with tempfile.TemporaryDirectory() as folder:
        table, out = str(Path(folder) / "clinic.csv"), Path(folder) / "population.json"
        drawn = ["simulate", "vancomycin-goti-2018", "--subjects", "200", "--seed", "1"]
        asked = ["popfit", table, "--structure", "2c-iv", "--effects", "cl~CRCL,v~WT"]
        environment = os.environ | {"XDG_CACHE_HOME": str(Path(folder) / "programs")}
        for words in ([*drawn, "--out", table], [*asked, "--out", str(out), "--quiet"]):
            begun = time.perf_counter()
            subprocess.run(
                [sys.executable, "-c", "from latentpk.cli.main import main; main()", *words],
                check=True, env=environment,
            )  # fmt: skip
            seconds = time.perf_counter() - begun
        found = json.loads(out.read_text())
    return {
        "seconds": seconds,
        "minus2": found["likelihood"]["minus2_log_likelihood"],
        "evaluations": found["convergence"]["evaluations"],
        "arrived": found["convergence"]["arrived"],
    }


def _nlme() -> dict[str, Any]:
    """R's nlme on the same data and model: an approximation by linearization."""
    rscript = shutil.which("Rscript")
    if rscript is None:
        return {"missing": "Rscript is not installed"}
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "fit.R"
        script.write_text(NLME)
        begun = time.perf_counter()
        done = subprocess.run(
            [rscript, str(script), str(reference() / FILES["theo120"])],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        seconds = time.perf_counter() - begun
    if done.returncode:
        return {"missing": done.stderr.strip().splitlines()[-1]}
    values = [float(word) for word in done.stdout.split()]
    return {"own_minus2": values[0], "fixed": values[1:], "seconds": seconds}


def summarize(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Tables and bars from whatever cells are done."""
    optima = [one for one in results if one["kind"] == "optimum"]
    fixed = {one["data"]: one for one in results if one["kind"] == "fixed"}
    clocks = {one["cache"]: one for one in results if one["kind"] == "clock"}
    peers = [one for one in results if one["kind"] == "nlme"]
    bars = []
    for one in optima:
        over = one["over_the_reference"]
        what = f"{one['data']}, {one['form']}, effects {one['effects']}, {one['objective']}"
        bars.append(
            {"what": f"{what}: -2 log L over the reference's optimum", "measured": round(over, 5),
             "bar": "<= .001", "met": bool(over <= 1e-3 and one["arrived"])}
        )  # fmt: skip
    for cache, one in clocks.items():
        bars.append(
            {"what": f"theophylline, whole process, {cache} programs, seconds",
             "measured": round(one["median_s"], 2), "bar": "<= 6",
             "met": bool(one["median_s"] <= 6 and one["minus2"] <= 331.95)}
        )  # fmt: skip
    answer = {"optima": optima, "fixed": fixed, "clock": clocks, "nlme": peers, "bars": bars}
    return answer | {"clinic": [one for one in results if one["kind"] == "clinic"]}


def main() -> None:
    """Run the chosen cells and write results.json from every finished one."""
    run_task(__doc__ or "", plan(), work, ledger=LEDGER, summarize=summarize)


if __name__ == "__main__":
    main()
