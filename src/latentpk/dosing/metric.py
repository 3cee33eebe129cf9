"""Exposure metrics by name: what is measured of a concentration curve, and over which window."""

import re
from dataclasses import dataclass
from typing import Literal

from latentpk.errors import InputError

Kind = Literal["auc", "auc_cum", "trough", "peak", "average", "ft_mic"]
At = float | Literal["ss"]

DAY = 24.0
_AUC = re.compile(r"auc(\d{1,4})")
LATEST = 1e6  # h; a century is shorter
_KNOWN = "auc24 (or another number of hours), auc_cum, trough, peak, average, ft_mic"


@dataclass(frozen=True)
class Metric:
    """One exposure metric.

    At `H` its window begins at H [h]; at steady state ("ss") it is one dosing interval, and an
    area is brought to `hours`.

    Attributes:
        kind: What is measured: the area over `hours` (auc), the area from the first dose to the
            window's start (auc_cum), the lowest, highest or mean concentration, or the share of
            the time in which the unbound concentration exceeds `mic`.
        hours: Length of the window [h].
        mic: Minimum inhibitory concentration [mg/L]; ft_mic alone.
        unbound: Unbound fraction of the drug; ft_mic alone.
    """

    kind: Kind
    hours: float = DAY
    mic: float | None = None
    unbound: float = 1.0

    @property
    def name(self) -> str:
        """The name `parse_metric` reads."""
        return f"auc{self.hours:g}" if self.kind == "auc" else self.kind

    @property
    def unit(self) -> str:
        """Unit of the values inside the package."""
        return {"auc": "mg h/L", "auc_cum": "mg h/L", "ft_mic": "%"}.get(self.kind, "mg/L")

    @property
    def concentration(self) -> int:
        """1 where a value scales with the unit of concentration, 0 where it is a percentage."""
        return 0 if self.kind == "ft_mic" else 1

    def describe(self, at: At) -> str:
        """Say in words what is measured when."""
        if at == "ss":
            window = "one dosing interval at steady state"
            words = {"auc": f"area over {self.hours:g} h at steady state"}
        else:
            window = f"{at:g} to {at + self.hours:g} h"
            words = {
                "auc": f"area from {window}",
                "auc_cum": f"area from the first dose to {at:g} h",
            }
        words |= {
            "trough": f"lowest concentration, {window}",
            "peak": f"highest concentration, {window}",
            "average": f"mean concentration, {window}",
            "ft_mic": f"share of the time, {window}, in which {self.unbound:g} x concentration "
            f"exceeds {self.mic} mg/L",
        }
        return words[self.kind]


def parse_metric(text: str, *, mic: float | None = None, unbound: float = 1.0) -> Metric:
    """Read a metric's name.

    Args:
        text: auc24 (any whole number of hours), auc_cum, trough, peak, average or ft_mic;
            "ft_mic@2" gives the MIC too.
        mic: Minimum inhibitory concentration [mg/L].
        unbound: Unbound fraction, above 0 and at most 1.

    Returns:
        The metric.

    Raises:
        InputError: An unknown name, ft_mic without a MIC, a MIC or fraction out of range.

    Example:
        >>> parse_metric("auc24").unit
        'mg h/L'
    """
    name, at, tail = text.strip().lower().partition("@")
    if at:
        mic = number(tail, f"the MIC in {text!r}")
    if not 0 < unbound <= 1:
        raise InputError(f"unbound fraction: {unbound:g}. It is above 0 and at most 1.")
    if found := _AUC.fullmatch(name):
        hours = float(found[1])
        if hours == 0:
            raise InputError(
                f"metric {text!r}: the window has no length. Write auc24, for instance."
            )
        return Metric("auc", hours)
    match name:
        case "auc_cum" | "trough" | "peak" | "average":
            return Metric(name)
        case "ft_mic":
            if mic is None or not mic > 0:
                raise InputError(
                    f"metric {text!r}: it needs a MIC above 0 mg/L. Write for instance ft_mic@2."
                )
            return Metric("ft_mic", mic=mic, unbound=unbound)
    raise InputError(f"metric {text!r}: not known. Known are {_KNOWN}.")


def parse_at(text: str) -> At:
    """Read the start of a window: hours on the subject's clock, or "ss".

    Raises:
        InputError: Neither.

    Example:
        >>> parse_at("24"), parse_at("ss")
        (24.0, 'ss')
    """
    if text.strip().lower() == "ss":
        return "ss"
    hours = number(text, "--at")
    if not 0 <= hours <= LATEST:
        raise InputError(
            f"--at {text}: a window begins at 0 h or later, and before {LATEST:g} h. "
            "Hours count from the patient's first record."
        )
    return hours


def parse_range(text: str) -> tuple[float, float]:
    """Read a range "low:high"; an absent end is open.

    Raises:
        InputError: No range, or its ends are not in order.

    Example:
        >>> parse_range("400:600")
        (400.0, 600.0)
    """
    low, colon, high = text.partition(":")
    if not colon:
        raise InputError(f"range {text!r}: a range has two ends. Write low:high, such as 400:600.")
    ends = (
        number(low, f"range {text!r}") if low.strip() else 0.0,
        number(high, f"range {text!r}") if high.strip() else float("inf"),
    )
    if not ends[0] < ends[1]:
        raise InputError(f"range {text!r}: the lower end is not below the upper one.")
    return ends


def number(text: str, what: str) -> float:
    """Read a finite number.

    Raises:
        InputError: The text is none; `what` names the place.
    """
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not -1e12 < value < 1e12:
        raise InputError(f"{what}: {text!r} is no finite number. Write it in digits, such as 24.")
    return value
