"""Figures of populations: fits, covariates, kinds of people."""

from typing import Any

from benchmarks.markdown import cells_done, table


def population(found: dict[str, Any]) -> str:
    rows = [
        [
            one["data"],
            one["form"].replace("_", ", "),
            one["effects"],
            one["objective"],
            f"{one['minus2_log_likelihood']:.3f}",
            f"{one['over_the_reference']:+.5f}",
            f"{one['largest_relative_difference_of_an_estimate']:.1e}",
            f"{one['seconds']:.1f}",
        ]
        for one in found["optima"]
    ]
    head = [
        "data", "given by", "effects", "objective", "-2 log L", "over the reference",
        "largest relative difference of an estimate", "s",
    ]  # fmt: skip
    columns = ["M2LL_FOCEI", "M2LL_LAPLACE", "M2LL_AGHQ5", "M2LL_AGHQ15", "M2LL_AGHQ25"]
    fixed = [
        [data, *(f"{one['largest_difference_of_a_subject'][column]:.1e}" for column in columns)]
        for data, one in found["fixed"].items()
    ]
    clock = [
        [f"theophylline, whole process, {cache} programs", f"{one['median_s']:.1f}",
         f"{one['plain_loop_s']:.1f}" if "plain_loop_s" in one else "-"]
        for cache, one in found["clock"].items()
    ]  # fmt: skip
    clock += [
        [f"the README's clinic, four random effects, {one['evaluations']} evaluations, cold",
         f"{one['seconds']:.0f}", "-"]
        for one in found.get("clinic", [])
    ]  # fmt: skip
    peers = [
        ["R's nlme (linearization), whole process", f"{one['seconds']:.1f}", "-"]
        for one in found["nlme"]
        if "seconds" in one
    ]
    return "\n".join(
        (
            "## Population fits\n",
            "Against optima of independent implementations; estimates started from a search.\n",
            table(head, rows),
            "Largest difference of a subject's -2 log L at fixed parameters:\n",
            table(["data", "FOCEI", "Laplace", "5 nodes", "15", "25"], fixed),
            table(["what", "s", "plain loop beside it (usually 1.1), s"], [*clock, *peers]),
        )
    )


def mixture(found: dict[str, Any]) -> str:
    names = {"truth": "the true model", "one": "one group", "two": "two groups", "auto": "auto"}
    rows = []
    for population, part in found["table"].items():
        for method, name in names.items():
            one = part["methods"].get(method)
            if one is None:
                continue
            numbers = ("components", "share", "ratio", "right")
            each = [", ".join(f"{x:.3g}" for x in one.get(key, [])) or "-" for key in numbers]
            rows.append([population, name, f"{one['none']:.3f}", f"{one['first']:.3f}", *each])
    head = [
        "population", "model", "none", "first", "groups", "share", "ratio of CL", "group right",
    ]  # fmt: skip
    return "\n".join(
        (
            "## Two kinds of people\n",
            "Log density of unseen people's levels [nats a person], of all given none and of\n"
            "the last four given the first two, trained on 500; for each seed the smaller\n"
            "group's share and clearance over the other's, and whose group was told right.\n",
            table(head, rows),
        )
    )


def covariates(found: dict[str, Any]) -> str:
    rows = [
        [
            str(one["subjects"]),
            "none" if one["kind"] == "null" else one["effects"],
            one["levels"],
            one["covariates"],
            one.get("shapes", ""),
            f"{one['exact_set']:.2f}",
            f"{one['exact_set_and_shape']:.2f}",
            f"{one['any_false']:.2f}",
            f"{one['median_s']:.1f}",
        ]
        for one in found["cells"]
    ]
    head = [
        "subjects", "effects", "levels", "covariates", "shapes", "exact set", "set and shape",
        "anything false", "s",
    ]  # fmt: skip
    return "\n".join(
        (
            "## Covariate discovery\n",
            "Of single effects how often the shape is right, and what was said of it; all shapes "
            "of a data set where every patient's parameters are known and what acts is given.\n",
            table(
                [
                    "subjects",
                    "set",
                    "set and shape",
                    "shapes right",
                    "said",
                    "all, parameters known",
                ],
                [
                    [
                        subjects,
                        f"{one['exact_set']:.2f}",
                        f"{one['exact_set_and_shape']:.2f}",
                        f"{one['shapes_right']:.2f}",
                        f"{one['probability_said_of_shapes']:.2f}",
                        f"{one['with_parameters_known']['all_shapes_right']:.2f}",
                    ]
                    for subjects, one in sorted(found["table"].items(), key=lambda row: int(row[0]))
                ],
            ),
            "Shares of twenty simulated data sets each; see the task's README.\n",
            table(head, rows),
        )
    )


def complexity(found: dict[str, Any]) -> str:
    names = {
        "two_kinds": "`complexity`",
        "evidence_as_trained": "evidence, as trained",
        "left_out_as_trained": "levels left out, as trained",
        "later_as_trained": "later levels, as trained",
        "oracle": "the oracle",
    }
    mixed = [row for row in found["table"] if "area" in row]
    areas = [
        [
            f"{row['kind']}, {row['decoder']}, {len(row['seeds'])} x 500",
            *(
                f"{row['area'][name]['value']:.3f} "
                f"({row['area'][name]['low']:.3f}-{row['area'][name]['high']:.3f})"
                for name in names
            ),
        ]
        for row in mixed
    ]
    sure = [
        [
            f"{row['kind']}, {row['decoder']}",
            ", ".join(row["rivals"]),
            ", ".join(f"{share:.2f}" for share in row["shares"]),
            f"{100 * row['called_complex']:.1f} %",
            f"{100 * row['called_simple']:.1f} %",
            f"{100 * row['wrong_of_called_complex']:.1f} %" if "area" in row else "",
            f"{100 * row['wrong_of_called_simple']:.1f} %" if "area" in row else "",
            f"{row['brier']:.3f}" if "area" in row else "",
            "; ".join(", ".join(hints) or "none" for hints in row["hints"]),
            f"{row['assess_s']:.0f}",
        ]
        for row in found["table"]
    ]
    reliable = [
        [
            f"{row['kind']}, {row['decoder']}",
            f"{one['from']:g}-{one['to']:g}",
            f"{one['patients']}",
            f"{one['mean_probability']:.2f}",
            f"{one['complex']:.2f}",
        ]
        for row in mixed
        for one in row["reliability"]
    ]
    head = [
        "cohort", "best compartment model", "share of complex people (true: half, or none)",
        "called complex", "called simple", "wrong of those", "wrong of these", "Brier", "hints",
        "s",
    ]  # fmt: skip
    return "\n".join(
        (
            "## Simple or complex\n",
            "Area under the ROC of unseen patients with six levels each (95 % bootstrap). "
            + cells_done(found)
            + "\n",
            table(["cohort", *names.values()], areas),
            table(head, sure),
            "Calibration of the probability:\n",
            table(["cohort", "probability", "patients", "its mean", "complex"], reliable),
        )
    )


def tacrolimus(found: dict[str, Any]) -> str:
    rows = [
        [
            one["design"],
            one["method"],
            f"{one['false_inclusion']:g}",
            f"{one['exact']} of {one['sets']}",
            *(f"{one['found'][name]}" for name in ("CYP3A5", "AGE", "ALB", "HGB")),
            ", ".join(one["false"]) or "none",
            ", ".join(one["elsewhere"]) or "none",
        ]
        for one in found["table"]
    ]
    head = [
        "levels", "method", "false inclusion asked for", "the four and no other", "CYP3A5", "AGE",
        "ALB", "HGB", "others found, all sets together", "the four elsewhere than CL",
    ]  # fmt: skip
    return "\n".join(
        (
            "## Covariates of tacrolimus, simulated\n",
            "Sets of 500 patients with fifteen covariates, of which four act on clearance; "
            "published: all four and no other. " + cells_done(found) + "\n",
            table(head, rows),
        )
    )
