"""What a recommended dose rests on: the sections of its page by which a reader may disagree."""

from latentpk.report.dose_words import Found, doses_in_words, in_words, number
from latentpk.report.html import Content, Html, element, facts, items, section, table
from latentpk.workflows.dose_curves import DoseCurves

_METHODS = {
    "is": "importance sampling",
    "adaptive": "adaptive importance sampling",
    "nuts": "NUTS",
}
_NAMES = {
    "cl": "clearance",
    "v1": "central volume",
    "v2": "second volume",
    "v3": "third volume",
    "q2": "flow to the second volume",
    "q3": "flow to the third volume",
    "ka": "absorption rate",
    "alag": "absorption lag",
    "f": "bioavailability",
}
_JUDGED = {
    "A computation": "k-hat of the weights, effective draws, or R-hat",
    "B domain": "breaches of the model's range",
    "C fit": "chance of levels this far off over what is allowed for (odds likewise)",
}
_LIMITS = [
    "This page is evidence to be judged, not advice. Whoever prescribes decides.",
    "No claim is made of conformity with any regulation, of clearance by any authority, or of "
    "clinical validation.",
    "Every probability holds only if the model holds for this patient.",
    "The last covariates are taken to stay as they are. A kidney or a weight that changes makes "
    "the forecast wrong.",
    "Times, amounts and levels are believed as the file gives them. A dose charted but not given, "
    "or a level drawn from the infusion's line, cannot be seen here.",
    "One drug, one measured compartment, and the kinetics that the model's card states: what the "
    "card does not have (saturable elimination, occasions) the patient does not have either.",
    "The effect, the organism, allergies, interactions and other drugs are not considered.",
]


def evidence(found: Found, curves: DoseCurves) -> list[Content]:
    """Sections on the patient, the gates, the inputs, the models, and what none of it can tell.

    Args:
        found: The JSON values of `advise`.
        curves: Of `curves_of`.
    """
    return [
        _parameters(found),
        _gates(found),
        _inputs(found, curves),
        _model(found),
        _levels(curves),
        section("What this page cannot tell", items(_limits(found))),
    ]


def _parameters(found: Found) -> Html:
    told = found["posterior"]
    head = ["parameter", "unit", "typical", "MAP", "median", "5 %", "95 %"]
    rows = [
        [
            f"{name} ({_NAMES[name]})" if name in _NAMES else name,
            one["unit"],
            *(number(one[key]) for key in ("typical", "map", "median", "lo", "hi")),
        ]
        for name, one in told.get("parameters", {}).items()
    ]
    words = (
        f"Computed by {_METHODS.get(told['method'], told['method'])}: "
        f"{told['effective draws']:.0f} effective draws, k-hat {number(told['pareto k'], 2)}. "
        "Typical: the prior's centre with this patient's covariates. MAP: the highest mode, a "
        "point and no posterior. Where all are equal the model holds the parameter fixed."
    )
    shown: Content = table(head, rows)
    if not rows:
        shown = element("p", "This model's decoder has no parameters with names.")
    return section("Before and after the levels", shown, element("p", words, class_="note"))


def _gates(found: Found) -> Html:
    rows = [
        [
            gate["gate"],
            gate["verdict"],
            number(gate["value"], 3),
            number(gate["threshold"], 3),
            _JUDGED.get(gate["gate"], ""),
            gate["sentence"],
        ]
        for gate in found["gates"]
    ]
    head = ["gate", "verdict", "value", "caution begins at", "what is judged", "what it says"]
    return section("The three gates", element("div", table(head, rows), class_="words"))


def _inputs(found: Found, curves: DoseCurves) -> Html:
    inputs = found["inputs"]
    apart = ("target", "at", "defaults", "reading")
    at = "steady state" if inputs["at"] == "ss" else f"{number(inputs['at'])} h"
    pairs = [("patient", curves.id), ("target", inputs["target"]["says"]), ("judged at", at)]
    pairs += [(name, in_words(value)) for name, value in inputs.items() if name not in apart]
    pairs.append(("doses of the record", doses_in_words(curves.given, found["units"]["amount"])))
    defaults = inputs["defaults"] or ["Nothing: every choice was given."]
    return section(
        "Inputs",
        facts(pairs),
        element("h3", "Taken as default"),
        items(defaults),
        element("h3", "Choices made in reading the file"),
        items(inputs["reading"] or ["None."]),
    )


def _model(found: Found) -> Html:
    several = isinstance(found["model"], list)
    models = found["model"] if several else [found["model"]]
    told = [facts([(k, in_words(v)) for k, v in one.items()]) for one in models]
    return section("The models" if several else "The model", *told)


def _levels(curves: DoseCurves) -> Html:
    title, levels = "The patient's own levels", curves.levels
    if levels is None:
        return section(title, element("p", "No finite posterior: nothing was fitted."))
    if levels.time.size == 0:
        said = "No level was used: the answer rests on doses and covariates alone."
        return section(title, element("p", said))
    head = [f"{name} [{curves.unit}]" for name in ("observed", "population", "fitted (5 to 95 %)")]
    rows = [
        [
            number(time),
            f"below {number(seen)}" if censored else number(seen),
            number(population),
            f"{number(median)} ({number(lo)} to {number(hi)})",
            number(mode),
            "below the limit" if censored else f"{residual:+.2f}",
        ]
        for time, seen, censored, population, median, lo, hi, mode, residual in zip(
            *(vars(levels)[name] for name in _COLUMNS), strict=True
        )
    ]
    words = (
        "Population: from doses and covariates alone. Residual: (observed - MAP) in standard "
        "deviations of the model's error. A fit is not a forecast: these levels were used."
    )
    shown = table(["time [h]", *head, f"MAP [{curves.unit}]", "residual [SD]"], rows)
    return section(title, shown, element("p", words, class_="note"))


_COLUMNS = (
    "time", "observed", "censored", "population", "median", "lo", "hi", "mode", "residual",
)  # fmt: skip


def _limits(found: Found) -> list[str]:
    """What cannot be told; of one model also that others may disagree."""
    first, second, third, *others = _LIMITS
    if not isinstance(found["model"], list):
        third = f"{third} It does not count that another model of the same drug may say otherwise."
    else:
        third = f"{third} The models' weights count only the models that were asked."
    return [first, second, third, *others]
