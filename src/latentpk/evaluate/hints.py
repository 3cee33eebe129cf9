"""Which mechanism would do what a trained model adds; nothing where the evidence is not clear."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from latentpk.evaluate.pattern import (
    CLEAR,
    LEAST,
    OFTEN,
    Band,
    Course,
    Hint,
    bends,
    second_rises,
    slope_of,
    sure_sign,
)

FALL = 0.1  # of a log parameter with log dose, from which on it is told
PLAIN = (
    "Nothing is missing that these levels could show: the trained model does not forecast held-out "
    "levels better than the compartment model."
)
FAINT = (
    "Nothing is missing that would matter: the trained model forecasts held-out levels a little "
    "better, but nothing shows that any subject is beyond a compartment model."
)
UNNAMED = (
    "The trained model forecasts held-out levels better, but where it differs no single mechanism "
    "stands out."
)


def find_hints(
    course: Course,
    over_since: Band,
    parameters: Mapping[str, Float[np.ndarray, " subject"]],
    dose: Float[np.ndarray, " subject"],
    *,
    of_whom: str,
) -> list[Hint]:
    """Everything that is clear.

    Args:
        course: Curves of those whom no compartment model follows.
        over_since: Their log ratio over time after dose.
        parameters: Log of each of the rival's parameters, of all subjects.
        dose: Median dose of each [mg], of all subjects.
        of_whom: "of the subjects that may be complex", for the sentences.
    """
    if len(course.time) < LEAST:
        return []
    found = [_second_rise(course, of_whom), *_dose(parameters, dose)]
    if found[0] is None:
        found += [_early(over_since), _bend(course)]
    return [hint for hint in found if hint is not None]


def _second_rise(course: Course, of_whom: str) -> Hint | None:
    rises, when = second_rises(course)
    share = float(rises.mean())
    if rises.sum() < LEAST or share < OFTEN:
        return None
    at = float(np.median(when[rises]))
    return Hint(
        "second_rise",
        f"In {100 * share:.0f} % {of_whom} levels rise a second time, about {at:.2g} h after the "
        "dose, and the compartment model's do not: enterohepatic recirculation or a second "
        "absorption site would do this.",
        share,
    )


def _early(over: Band) -> Hint | None:
    """The first sixth of the times after a dose."""
    if len(over.at) < 4:
        return None
    first = over.at <= over.at[0] + (over.at[-1] - over.at[0]) / 6
    size = float(np.mean(over.median[first]))
    if not over.sure[first].all():
        return None
    if size < 0:
        return Hint(
            "early",
            f"In the first {over.at[first][-1]:.2g} h after a dose levels are {_percent(size)} "
            "under the compartment model's: absorption that is delayed (transit, a lag) "
            "would do this.",
            size,
        )
    return Hint(
        "early",
        f"In the first {over.at[first][-1]:.2g} h after a dose levels are {_percent(size)} over "
        "the compartment model's: a distribution phase, or a part that is absorbed at once, "
        "would do this.",
        size,
    )


def _bend(course: Course) -> Hint | None:
    size, sure = sure_sign(bends(course))
    if not sure:
        return None
    if size > 0:
        return Hint(
            "bend",
            f"After the peak levels fall slowly first and ever faster then (the middle lies "
            f"{_percent(size)} over what a straight decline from end to end has): elimination that "
            "saturates would do this.",
            size,
            saturates=True,
        )
    return Hint(
        "bend",
        f"After the peak levels fall fast first and ever more slowly then (the middle "
        f"lies {_percent(size)} under what a straight decline from end to end has): a deeper "
        "compartment, binding to a target, or a power-law tail would do this.",
        size,
    )


def _dose(
    parameters: Mapping[str, Float[np.ndarray, " subject"]], dose: Float[np.ndarray, " subject"]
) -> list[Hint | None]:
    """Whether the rival needs other parameters for other doses, as no linear model may."""
    found: list[Hint | None] = []
    logs = np.log(np.maximum(dose, 1e-12))
    for name, values in parameters.items():
        slope, error = slope_of(logs, values)
        if abs(slope) < max(FALL, CLEAR * error):
            continue
        way = "falls" if slope < 0 else "rises"
        cause = _CAUSES.get((name, way))
        if cause is not None:
            sentence = (
                f"The compartment model's {name} {way} with the dose (twice the dose: "
                f"{100 * (2**slope - 1):+.0f} %): {cause} would do this, or patients who need "
                "other doses for a reason of their own."
            )
            found.append(Hint("dose", sentence, slope, saturates=(name, way) == ("cl", "falls")))
    return found


_CAUSES = {
    ("cl", "falls"): "elimination that saturates",
    ("cl", "rises"): "absorption or binding that saturates, or induction",
    ("ka", "falls"): "absorption that saturates",
    ("v1", "rises"): "binding in plasma that saturates, or less of a larger dose absorbed",
    ("v1", "falls"): "binding to tissue or to a target that saturates",
}


def _percent(size: float) -> str:
    return f"{100 * abs(np.expm1(size)):.0f} %"
