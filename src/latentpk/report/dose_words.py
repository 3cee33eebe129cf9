"""Numbers, regimens and doses in the words of a dose's page."""

from typing import Any

import numpy as np

from latentpk.report.words import percent
from latentpk.workflows.dose_curves import Given

Found = dict[str, Any]  # JSON values, or a part of them
UNKNOWN = "not known"


def name_of(one: Found, unit: str) -> str:
    """A regimen in words, such as "1000 mg over 1 h every 12 h".

    Args:
        one: One of the JSON's alternatives.
        unit: Of its amounts.
    """
    interval, infusion = one["interval"], one["infusion"]
    how = "" if not infusion else f" over {number(infusion)} h"
    if infusion == interval:
        how = " as a continuous infusion, a new one"
    said = f"{number(one['amount'])} {unit}{how} every {number(interval)} h"
    if one["loading"] is not None:
        said += f", the first dose {number(one['loading'])} {unit}"
    return said


def doses_in_words(given: Given, unit: str) -> str:
    """Doses in words; equal ones at equal gaps together."""
    if given.time.size == 0:
        return "none"
    said, i = [], 0
    while i < given.time.size:
        last = _run(given, i)
        how = f" over {number(given.duration[i])} h" if given.duration[i] > 0 else ""
        text = f"{number(given.amount[i])} {unit}{how} at {number(given.time[i])} h"
        if last > i:
            gap = number(given.time[i + 1] - given.time[i])
            text += f" and every {gap} h until {number(given.time[last])} h ({last - i + 1} doses)"
        said.append(text)
        i = last + 1
    return "; ".join(said)


def _run(given: Given, first: int) -> int:
    """Index of the last dose that continues the series begun at `first`."""
    last = first
    while last + 1 < given.time.size:
        new = last + 1
        alike = given.amount[new] == given.amount[first]
        alike &= given.duration[new] == given.duration[first]
        gap = given.time[first + 1] - given.time[first]
        if not alike or not np.isclose(given.time[new] - given.time[last], gap):
            break
        last = new
    return last


def in_words(value: Any) -> str:
    """A JSON value in words."""
    match value:
        case None:
            return "none given"
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return number(value)
        case dict():
            return "; ".join(f"{name}: {in_words(one)}" for name, one in value.items()) or "none"
        case list() if len(value) > 12:
            return f"{in_words(value[0])} to {in_words(value[-1])}, {len(value)} values"
        case list():
            return ", ".join(in_words(one) for one in value) or "none"
    return str(value)


def number(value: float | None, digits: int = 4) -> str:
    """A number to so many digits; UNKNOWN where there is none.

    Example:
        >>> number(1234567.8), number(0.123456), number(None)
        ('1234568', '0.1235', 'not known')
    """
    if value is None or not np.isfinite(value):
        return UNKNOWN
    return f"{value:.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.{digits}g}"


def chance(share: float | None) -> str:
    """A chance in whole percent; UNKNOWN where there is none."""
    return UNKNOWN if share is None or not np.isfinite(share) else percent(share)


def spread(one: Found) -> str:
    """Median with its 5 and 95 % quantiles."""
    return f"{number(one['median'])} ({number(one['lo'])} to {number(one['hi'])})"
