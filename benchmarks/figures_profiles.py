"""Figures of profiles that no compartment model describes, and of forecasts from few levels."""

from typing import Any

from benchmarks.markdown import cells_done, table

WAYS = {
    "compartment": "compartment model",
    "auto": "`fit`, all on auto",
    "mechanistic": "`fit`, the mechanism named",
}


def complex_profiles(found: dict[str, Any]) -> str:
    """Each cohort by both methods, on known and other regimens."""
    cells = {(row["cohort"], row["method"], row["regimen"]): row for row in found["table"]}
    chosen = {
        (one["cohort"], one["method"], one["seed"]): one["chosen"]
        for one in found["costs"]
        if "chosen" in one
    }
    cohorts = list(dict.fromkeys(row["cohort"] for row in found["table"]))

    def cell(cohort: str, method: str, regimen: str) -> list[str]:
        row = cells.get((cohort, method, regimen))
        if row is None:
            return ["", ""]
        ratio = row["ratio_to_oracle"]
        said = f"{ratio['value']:.2f} ({ratio['low']:.2f}-{ratio['high']:.2f})"
        return [said, f"{row['coverage90']['value']:.3f}"]

    rows = []
    for cohort in cohorts:
        for method, words in WAYS.items():
            known = cells.get((cohort, method, "known"))
            if known is None:
                continue
            names = [chosen.get((cohort, method, seed), "") for seed in known["seeds"]]
            both = [*cell(cohort, method, "known"), *cell(cohort, method, "other")]
            rows.append([cohort, words, ", ".join(names), *both, str(len(known["seeds"]))])
    head = [
        "cohort",
        "method",
        "chosen",
        "error / oracle's",
        "coverage",
        "other regimen",
        "coverage",
    ]
    return (
        "## Profiles that no compartment model describes\n\n"
        "Log-RMSE of later concentrations over that of the Bayes oracle, which knows the true "
        "model: 500 unseen patients a seed with 1-4 levels, trained on 500; another 500 on doses "
        "and intervals that nobody was trained on. Intervals are 95 %, coverage is of 90 % "
        "prediction intervals. `michaelis-menten`, `transit` and `dual-absorption` were replaced. "
        + cells_done(found)
        + "\n\n"
        + table([*head, "seeds"], rows)
    )


def tdm1(found: dict[str, Any]) -> str:
    """Later cycles of simulated T-DM1."""
    rows = []
    for row in found["table"]:
        r2, mae, off = row["r2"], row["mae"], row["log_rmse"]
        rows.append(
            [
                row["data"],
                row["method"],
                str(row["folds"]),
                f"{r2['value']:.4f} ({r2['low']:.4f}-{r2['high']:.4f})",
                f"{mae['value']:.3f}",
                f"{off['value']:.3f}",
                str(row.get("coverage90", "")),
            ]
        )
    return (
        "## T-DM1, simulated: later cycles from the first\n\n"
        "Unseen patients in five folds; published with a leak: R2 .935, MAE 3.28. "
        + cells_done(found)
        + "\n\n"
        + table(["file", "method", "folds", "R2", "MAE [mg/L]", "log-RMSE", "coverage"], rows)
    )


def field_cost(found: dict[str, Any]) -> str:
    """Whole processes that fit the learned field."""
    names = ("subjects", "doses", "levels", "states", "seconds")
    rows = [[f"{row[name]:g}" for name in names] for row in found["table"]]
    return (
        "## What the learned field costs\n\n"
        "Seconds of `latentpk fit --decoder neural-ode --threads 2` as a whole process, with "
        "nothing compiled before, on two cores. "
        + cells_done(found)
        + "\n\n"
        + table([*names], rows)
    )


def leave_one_out(found: dict[str, Any]) -> str:
    """Remaining levels of one subject from four rows."""
    rows = []
    for row in found["table"]:
        off = row["log_rmse"]
        said = f"{off['value']:.3f} ({off['low']:.3f}-{off['high']:.3f})"
        rows.append([row["data"], row["method"], str(row["subjects"]), said])
    return (
        "## One subject left out\n\n"
        "Mean over subjects of the log-RMSE of what follows the first four rows of levels (95 % "
        "bootstrap). Best published .184 and .245, MAP .244 and .271. "
        + cells_done(found)
        + "\n\n"
        + table(["data", "method", "subjects", "log-RMSE"], rows)
    )


def general(found: dict[str, Any]) -> str:
    """Small studies, begun from the general model or from nothing."""
    words = {
        "general": "`fit --start-from general`",
        "auto": "`fit`",
        "neural_ode": "`fit --decoder neural-ode`",
    }
    rows = []
    for row in sorted(found["table"], key=lambda one: (one["cohort"], one["n"])):
        off, less = row["log_rmse"], row.get("general_minus_this")
        rows.append(
            [
                row["cohort"],
                str(row["n"]),
                words[row["method"]],
                f"{off['value']:.3f} ({off['low']:.3f}-{off['high']:.3f})",
                ""
                if less is None
                else f"{less['value']:+.3f} ({less['low']:+.3f} to {less['high']:+.3f})",
                "" if row["coverage90"] is None else f"{row['coverage90']:.3f}",
                str(row["patients"]),
            ]
        )
    head = ["drug", "n", "method", "log-RMSE", "the general model's less this", "coverage"]
    return (
        "## Small studies, begun from the general model\n\n"
        "Log-RMSE of later concentrations of patients who were not in the study, from one to four "
        "early levels; theophylline is one subject left out of twelve (its n is 11). "
        + cells_done(found)
        + "\n\n"
        + table([*head, "patients"], rows)
    )
