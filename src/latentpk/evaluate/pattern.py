"""What one model adds to another, over time, concentration and covariates, and what would do this.

All curves are log ratios of the trained model's prediction to the compartment model's: 0 where both
agree. A hint names a mechanism only where subjects drawn anew keep its sign and it is no trifle.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float

BINS = 12
LEAST = 5  # subjects in a bin, and subjects of which anything is said
RESAMPLES = 400
TRIFLE = 0.05  # of a log ratio: under 5 % nothing is said
RISE = 0.10  # share by which a curve must rise again to rise at all
OFTEN = 0.3  # share of subjects who must show a second rise
CLEAR = 3.0  # standard errors of a slope


@dataclass(frozen=True, eq=False)
class Course:
    """Both models' curves of subjects, shape (subject, point) each; nan where nothing is compared.

    Attributes:
        time: Since the first dose [h].
        since: Since the last dose [h].
        trained: Individual prediction of the trained model [mg/L].
        rival: Individual prediction of the compartment model [mg/L].
        trained_typical: Prediction of the trained model for the typical subject [mg/L].
        rival_typical: The same of the compartment model [mg/L].
    """

    time: Float[np.ndarray, "subject point"]
    since: Float[np.ndarray, "subject point"]
    trained: Float[np.ndarray, "subject point"]
    rival: Float[np.ndarray, "subject point"]
    trained_typical: Float[np.ndarray, "subject point"]
    rival_typical: Float[np.ndarray, "subject point"]
    compared: Bool[np.ndarray, "subject point"] = field(init=False)

    def __post_init__(self) -> None:
        with np.errstate(invalid="ignore"):
            top = np.nanmax(np.maximum(self.trained, self.rival), axis=1, keepdims=True, initial=0)
            enough = np.minimum(self.trained, self.rival) > 0.01 * top
            typical = np.minimum(self.trained_typical, self.rival_typical) > 1e-3 * top
        object.__setattr__(self, "compared", enough & typical & np.isfinite(self.time))

    @property
    def ratio(self) -> Float[np.ndarray, "subject point"]:
        """Log ratio of individual predictions; nan under a hundredth of the subject's highest."""
        return self._log(self.trained, self.rival)

    @property
    def typical_ratio(self) -> Float[np.ndarray, "subject point"]:
        """Log ratio of typical predictions."""
        return self._log(self.trained_typical, self.rival_typical)

    def take(self, index: np.ndarray) -> "Course":
        """Some subjects."""
        names = ("time", "since", "trained", "rival", "trained_typical", "rival_typical")
        return Course(*(getattr(self, name)[index] for name in names))

    def _log(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        safe = self.compared
        return np.where(
            safe, np.log(np.where(safe, one, 1)) - np.log(np.where(safe, other, 1)), np.nan
        )


@dataclass(frozen=True, eq=False)
class Band:
    """A quantity over bins of another, subjects as the unit; bins of too few subjects are left out.

    Attributes:
        at: Middle of each bin.
        median: Over subjects.
        low: 5 % quantile over subjects.
        high: 95 % quantile.
        sure_low: 2.5 % of the median, subjects drawn anew.
        sure_high: 97.5 % of it.
        subjects: In each bin.
    """

    at: Float[np.ndarray, " bin"]
    median: Float[np.ndarray, " bin"]
    low: Float[np.ndarray, " bin"]
    high: Float[np.ndarray, " bin"]
    sure_low: Float[np.ndarray, " bin"]
    sure_high: Float[np.ndarray, " bin"]
    subjects: Float[np.ndarray, " bin"]

    @property
    def sure(self) -> Bool[np.ndarray, " bin"]:
        """Where the median is no trifle and its interval leaves 0 out."""
        away = (self.sure_low > 0) | (self.sure_high < 0)
        return away & (np.abs(self.median) > TRIFLE)


def band(
    x: Float[np.ndarray, "subject point"],
    y: Float[np.ndarray, "subject point"],
    *,
    bins: int = BINS,
    seed: int = 0,
) -> Band:
    """Bin y by x in equal numbers of points, one value of each subject in a bin.

    Args:
        x: What it is over.
        y: nan where there is none.
        bins: At most this many; fewer where x has fewer values.
        seed: Of the subjects drawn anew.
    """
    known = np.isfinite(x) & np.isfinite(y)
    if not known.any():
        return Band(*(np.zeros(0) for _ in range(7)))
    values = np.unique(x[known])
    if len(values) <= bins:
        edges = np.concatenate([(values[:-1] + values[1:]) / 2, [np.inf]])
    else:
        edges = np.unique(np.quantile(x[known], np.linspace(0, 1, bins + 1)[1:]))
        edges[-1] = np.inf
    place = np.searchsorted(edges, np.where(known, x, np.nan), side="left")
    own = np.full((len(x), len(edges)), np.nan)
    at = np.full(len(edges), np.nan)
    for b in range(len(edges)):
        here = known & (place == b)
        count = here.sum(axis=1)
        sums = np.where(here, y, 0.0).sum(axis=1)
        own[:, b] = np.where(count > 0, sums / np.maximum(count, 1), np.nan)
        at[b] = np.median(x[here]) if here.any() else np.nan
    subjects = np.sum(np.isfinite(own), axis=0)
    kept = subjects >= min(LEAST, len(x))
    own, at, subjects = own[:, kept], at[kept], subjects[kept]
    middle = np.nanmedian(own, axis=0) if own.size else np.zeros(0)
    low, high = np.nanquantile(own, [0.05, 0.95], axis=0) if own.size else np.zeros((2, 0))
    sure = _resampled(own, seed)
    return Band(at, middle, low, high, sure[0], sure[1], subjects.astype(float))


def _resampled(own: Float[np.ndarray, "subject bin"], seed: int) -> Float[np.ndarray, "2 bin"]:
    """95 % interval of each bin's median, subjects drawn anew."""
    rng = np.random.Generator(np.random.Philox([seed, *own.shape]))
    found = np.zeros((2, own.shape[1]))
    for b in range(own.shape[1]):
        values = own[np.isfinite(own[:, b]), b]
        again = rng.choice(values, (RESAMPLES, len(values)))
        found[:, b] = np.quantile(np.median(again, axis=1), [0.025, 0.975])
    return found


def explained(x: Float[np.ndarray, "*rows"], y: Float[np.ndarray, "*rows"]) -> float:
    """Share of the variance of y that bins of x explain, less what chance would; at least 0."""
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if len(y) < 2 * LEAST or np.ptp(y) == 0 or np.ptp(x) == 0:
        return 0.0
    cuts = np.unique(np.quantile(x, np.linspace(0, 1, 9)[1:-1]))
    place = np.searchsorted(cuts, x)
    groups = [y[place == g] for g in np.unique(place)]
    inside = sum(float(np.sum((g - g.mean()) ** 2)) for g in groups)
    whole = float(np.sum((y - y.mean()) ** 2))
    free = len(y) - len(groups)
    return float(max(1 - inside / free / (whole / (len(y) - 1)), 0.0))


@dataclass(frozen=True)
class Hint:
    """A mechanism that would do what was seen.

    Attributes:
        sign: What was seen: second_rise, early, late, bend, dose or covariate.
        sentence: For a person: the evidence, and what would do this.
        size: Of what was seen, as its sentence says.
        saturates: Whether elimination that saturates would do this.
    """

    sign: str
    sentence: str
    size: float
    saturates: bool = False


def second_rises(
    course: Course,
) -> tuple[Bool[np.ndarray, " subject"], Float[np.ndarray, " subject"]]:
    """Who rises again after falling, more in the trained model's curve than the rival's, and when.

    Within one dose interval a curve that fell by RISE from its first peak rises by RISE once more.

    Returns:
        Whether, and hours after the dose of the second peak (nan where there is none).
    """
    count = len(course.time)
    found, when = np.zeros(count, bool), np.full(count, np.nan)
    for i in range(count):
        since, known = course.since[i], course.compared[i]
        start = np.flatnonzero(np.diff(since, prepend=np.inf) < 0)  # a new dose begins
        for part in np.split(np.arange(len(since)), start[start > 0]):
            part = part[known[part]]
            trained, at = _second_peak(course.trained[i, part], since[part])
            if (
                trained > RISE
                and trained > _second_peak(course.rival[i, part], since[part])[0] + RISE / 2
            ):
                found[i], when[i] = True, at
    return found, when


def _second_peak(curve: np.ndarray, since: np.ndarray) -> tuple[float, float]:
    """Largest log rise after a fall of RISE from the peak before it, and where it ends."""
    best, at = 0.0, np.nan
    if len(curve) < 4:
        return best, at
    logs = np.log(curve)
    top, bottom = logs[0], np.inf
    for k in range(1, len(logs)):
        if top - logs[k] > RISE:
            bottom = min(bottom, logs[k])
        if np.isinf(bottom):
            top = max(top, logs[k])
        elif logs[k] - bottom > best:
            best, at = float(logs[k] - bottom), float(since[k])
    return best, at


def bends(course: Course) -> Float[np.ndarray, " subject"]:
    """How much each log ratio bends after the rival's peak: its middle over its ends.

    Negative where levels fall ever more slowly than the rival's; nan where too little is compared.
    """
    found = np.full(len(course.time), np.nan)
    ratio = course.ratio
    for i in range(len(found)):
        known = np.isfinite(ratio[i])
        if known.sum() < 6:
            continue
        since = course.since[i]
        last = since == since  # the last dose interval alone: earlier ones end too soon
        start = np.flatnonzero(np.diff(since, prepend=np.inf) < 0)
        last[: start[-1] if start.size else 0] = False
        part = np.flatnonzero(known & last)
        if part.size < 6:
            continue
        part = part[np.argmax(course.rival[i, part]) :]
        if part.size < 6:
            continue
        x = (since[part] - since[part[0]]) / max(np.ptp(since[part]), 1e-9)
        found[i] = -np.polyfit(x, ratio[i, part], 2)[0] / 4
    return found


def sure_sign(values: Float[np.ndarray, " subject"], *, seed: int = 0) -> tuple[float, bool]:
    """Median, and whether subjects drawn anew keep it beyond TRIFLE's half and off 0."""
    values = values[np.isfinite(values)]
    if len(values) < LEAST:
        return 0.0, False
    rng = np.random.Generator(np.random.Philox([seed, len(values)]))
    again = np.median(rng.choice(values, (RESAMPLES, len(values))), axis=1)
    middle = float(np.median(values))
    low, high = np.quantile(again, [0.005, 0.995])
    return middle, bool(abs(middle) > TRIFLE and low * high > 0)


def slope_of(
    x: Float[np.ndarray, " subject"], y: Float[np.ndarray, " subject"]
) -> tuple[float, float]:
    """Least-squares slope of y on x and its standard error; (0, inf) where x hardly varies."""
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if len(x) < 2 * LEAST or np.std(x) < 1e-6:
        return 0.0, float("inf")
    away = x - x.mean()
    slope = float(away @ y / (away @ away))
    left = y - y.mean() - slope * away
    return slope, float(np.sqrt(left @ left / (len(x) - 2) / (away @ away)))
