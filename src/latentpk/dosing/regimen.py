"""Regimens: amounts, intervals and infusions that a ward can give, and their doses in time."""

import itertools
from dataclasses import dataclass

import numpy as np

from latentpk.errors import InputError, Problem
from latentpk.kinetics.doses import Doses
from latentpk.models.config import Frozen

HOURS_A_DAY = 24.0
MOST = 20_000  # regimens of one grid
SHORTEST = 0.1  # h, between doses; what is given more often is an infusion


@dataclass(frozen=True)
class Regimen:
    """A dose repeated for ever.

    Attributes:
        amount: Of each dose [mg].
        interval: Between doses [h].
        infusion: Length of each infusion [h]; 0 is instantaneous or extravascular; equal to the
            interval it is continuous.
        loading: Of the first dose [mg]; None where it is like the others.
    """

    amount: float
    interval: float
    infusion: float
    loading: float | None = None

    @property
    def daily(self) -> float:
        """Amount a day [mg]."""
        return self.amount * HOURS_A_DAY / self.interval


class Practice(Frozen):
    """What a ward can give.

    Attributes:
        amounts: Amounts of a dose [mg].
        intervals: Between doses [h].
        infusions: Lengths of an infusion [h]; one at its interval's length is continuous.
        loading: Whether a first dose may be larger.
        most_daily: Largest amount a day [mg].
        most_single: Largest single dose, loading included [mg].
        vial: Amounts are rounded to whole multiples of this [mg].
    """

    amounts: tuple[float, ...]
    intervals: tuple[float, ...]
    infusions: tuple[float, ...] = (0.0,)
    loading: bool = False
    most_daily: float | None = None
    most_single: float | None = None
    vial: float | None = None

    def grid(self) -> list[Regimen]:
        """Every regimen within the limits, without loading doses.

        Raises:
            InputError: Nothing is left, or a number breaks a rule; every problem at once.
        """
        self._check()
        found = [
            Regimen(amount, interval, infusion)
            for amount, interval, infusion in itertools.product(
                self.rounded(), self.intervals, self.infusions
            )
            if infusion <= interval and self.allows(amount, interval)
        ]
        if not found:
            raise InputError(self._why_empty())
        if len(found) > MOST:
            raise InputError(
                f"The grid holds {len(found)} regimens, more than {MOST}. Take a coarser step."
            )
        return found

    def _why_empty(self) -> str:
        """What leaves no regimen, and the mend."""
        amounts, longest = self.rounded(), max(self.intervals)
        if not amounts:
            return (
                f"The grid of regimens is empty: a vial holds {self.vial:g} mg, more than the "
                f"largest amount, {max(self.amounts):g} mg. Raise --doses, or leave out --vial."
            )
        if min(self.infusions) > longest:
            return (
                f"The grid of regimens is empty: infusions of {min(self.infusions):g} h or more "
                f"are longer than every interval, {longest:g} h at most. Shorten --infusion."
            )
        if self.most_single is not None and min(amounts) > self.most_single:
            return (
                f"The grid of regimens is empty: the smallest amount, {min(amounts):g} mg, is "
                f"above the largest single dose, {self.most_single:g} mg. Raise --max-single or "
                "lower --doses."
            )
        return (
            "The grid of regimens is empty: no amount and interval keep within the limits. "
            "Widen --doses or --intervals, or raise --max-daily."
        )

    def rounded(self) -> tuple[float, ...]:
        """The amounts, rounded to whole vials where there are vials, none above the largest."""
        if self.vial is None:
            return self.amounts
        most = max(self.amounts) * (1 + 1e-9)
        whole = {max(round(amount / self.vial), 1) * self.vial for amount in self.amounts}
        return tuple(sorted(amount for amount in whole if amount <= most))

    def allows(self, amount: float, interval: float) -> bool:
        """Whether an amount at an interval keeps within the limits."""
        daily = self.most_daily is None or amount * HOURS_A_DAY / interval <= self.most_daily
        return daily and (self.most_single is None or amount <= self.most_single)

    def _check(self) -> None:
        problems = [
            Problem(
                name,
                f"{', '.join(f'{v:g}' for v in values) or 'nothing'}",
                rule,
                f"Write for instance {example}",
            )
            for name, values, least, rule, example in (
                ("--doses", self.amounts, 0, "Amounts are above 0 mg", "--doses 500:2000:250"),
                (
                    "--intervals",
                    self.intervals,
                    SHORTEST,
                    f"Intervals are above {SHORTEST:g} h",
                    "--intervals 8,12,24",
                ),
                ("--infusion", self.infusions, -1, "A length is 0 h or more", "--infusion 1"),
            )
            if not values or not all(least < v < 1e9 or (least < 0 and v == 0) for v in values)
        ]
        limits = (
            ("--vial", self.vial, "A vial holds more than 0 mg"),
            ("--max-daily", self.most_daily, "A largest amount is above 0 mg"),
            ("--max-single", self.most_single, "A largest amount is above 0 mg"),
        )
        problems += [
            Problem(name, f"{value:g}", rule, "Correct it or leave it out")
            for name, value, rule in limits
            if value is not None and not value > 0
        ]
        if problems:
            raise InputError(problems, source="the regimens")


def schedule(regimen: Regimen, start: float, end: float, depot: float) -> Doses:
    """The doses of a regimen from its start up to a time, the loading dose first.

    Args:
        regimen: The regimen.
        start: Time of the first dose [h].
        end: No dose is given at or after this time [h].
        depot: 1 into the absorption site, 0 into the central compartment.

    Returns:
        At least one dose.
    """
    count = max(int(np.ceil((end - start) / regimen.interval - 1e-9)), 1)
    time = start + regimen.interval * np.arange(count)
    amount = np.full(count, regimen.amount)
    if regimen.loading is not None:
        amount[0] = regimen.loading
    return Doses.of(time, amount, duration=regimen.infusion, depot=depot)


def parse_amounts(text: str) -> tuple[float, ...]:
    """Read amounts: "500,750,1000", or "500:2000:250" for a range with its step.

    Raises:
        InputError: Neither form, or no amount at all.

    Example:
        >>> parse_amounts("500:1000:250")
        (500.0, 750.0, 1000.0)
    """
    values = [_number(part, text) for part in text.replace(":", ",").split(",") if part.strip()]
    if ":" not in text:
        if not values:
            raise InputError(f"{text!r}: no number. Write for instance 500,1000 or 500:2000:250.")
        return tuple(sorted(set(values)))
    if len(values) != 3 or values[2] <= 0 or values[1] < values[0]:
        raise InputError(
            f"{text!r}: a range is low:high:step, the step above 0. Write 500:2000:250."
        )
    low, high, step = values
    if (high - low) / step > MOST:
        raise InputError(f"{text!r}: more than {MOST} amounts. Take a larger step.")
    count = int(np.floor((high - low) / step + 1e-9)) + 1
    return tuple(float(v) for v in np.round(low + step * np.arange(count), 9))


def _number(part: str, text: str) -> float:
    try:
        value = float(part)
    except ValueError:
        value = float("nan")
    if not abs(value) < 1e9:
        raise InputError(f"{text!r}: {part.strip()!r} is no finite number. Write it in digits.")
    return value
