r"""A nanoparticle's course through a tumor-bearing mouse: a linear PBPK model, solved implicitly.

Eight organs, each with capillary blood b, tissue t and phagocytes r (the brain has none), between
arterial and venous plasma:

.. math:: b' = Q (C_A - C_b) - F, \quad t' = F - k_{up} t + k_{rel} r, \quad
          r' = k_{up} t - k_{rel} r, \quad F = PA (C_b - C_t / P), \quad
          k_{up} = k_{max} \frac{t^n}{k_{50}^n + t^n}

In the liver phagocytes take from blood; the kidney's blood feeds urine, the liver's tissue bile;
the spleen's blood flows to the liver, whose outflow is its own arterial flow alone, as published
(mass is conserved, flow is not). The system is stiff: venous plasma turns over 1500 times an hour.
The matrix is a tree with one loop, so that each implicit stage is solved in closed form, organ by
organ.

Source: Chou W-C et al. J Control Release 2023;361:53-63 (code UFPBPK/Nano-AI-PBPK-G1, CC0).
"""

from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentpk.kinetics.sdirk import sdirk_step

ORGANS = ("tumor", "muscle", "rest", "kidney", "spleen", "brain", "liver", "lung")
TUMOR, MUSCLE, REST, KIDNEY, SPLEEN, BRAIN, LIVER, LUNG = range(8)
ARTERIAL, VENOUS, URINE, BILE = range(24, 28)
STATES = 28  # blood, tissue, phagocytes of each organ; plasma; what has left
INFUSION = 0.005  # h, into venous plasma, from time 0
END = 180.0  # h, where courses end
FULL = 100.0  # %: amounts are in % of the injected dose
MOUSE_WEIGHT = 0.02  # kg, of which the rates of phagocytes are

Species = Literal["mouse", "rat", "human"]
WEIGHTS: dict[Species, float] = {"mouse": MOUSE_WEIGHT, "rat": 0.25, "human": 70.0}
Resolution = Literal["fast", "fine"]
# of one step to the one before while the infusion runs, and after; the longest step [h]
STEPS: dict[Resolution, tuple[float, float, float]] = {
    "fast": (1.25, 1.2, 3.0),
    "fine": (1.06, 1.03, 0.6),
}
FIRST = 3e-5  # h, first step after the infusion begins, and after it ends
ZOOM = 16  # looks between two grid points where a maximum is sought

# by organ; the tumor's own and what is left for the rest stand at 0
_FLOW = np.array([0, 0.159, 0, 0.091, 0.011, 0.033, 0.02, 0])  # of cardiac output
_VOLUME = np.array([0, 0.384, 0, 0.017, 0.005, 0.017, 0.055, 0.007])  # of body weight
_BLOOD = np.array([0, 0.04, 0.04, 0.24, 0.17, 0.03, 0.31, 0.5])  # of the organ's volume
_PARTITION = np.array([0, 0.15, 0.15, 0.15, 0.15, 0.15, 0.08, 0.15])
_PERMEABILITY = np.array([0, 5e-5, 5e-5, 0.01, 0.15, 1e-6, 0.001, 0.001])  # of the flow
_RELEASE = np.array([0, 0.005, 0.005, 0.001, 0.001, 0, 0.0015, 0.003])  # 1/h
_UPTAKE = np.array([0, 0.4, 0.4, 0.12, 5.0, 0, 0.3, 0.085])  # 1/h, at most
_HALF = np.array([1, 48, 48, 48, 36, 1, 48, 48.0])  # h
_POWER = np.array([1, 5, 5, 5, 5, 1, 5, 5.0])
_PLASMA, _ARTERIAL = 0.0355, 0.2  # of body weight; of plasma
_OUTPUT, _BILE, _URINE = 16.5, 3e-5, 3e-6  # L/h at 1 kg, by weight to the power .75
_TO_VENOUS = np.array([1, 1, 1, 1, 0, 1, 1, 0.0])
_FROM_BLOOD = np.array([0, 0, 0, 0, 0, 0, 1, 0.0])

Number = Float[Array, ""] | float


class Tumor(NamedTuple):
    """The tumor of one mouse; the last four are the KTRES parameters.

    Attributes:
        flow: QTC, share of the cardiac output.
        volume: VTC, share of the body weight.
        blood: BVT, capillary blood's share of the tumor.
        partition: PT, tissue over plasma.
        permeability: PATC, share of the tumor's flow.
        kt_res_release: Release from phagocytes [1/h].
        kt_res_max: Largest uptake [1/h].
        kt_res_50: Time of half of it [h].
        kt_res_n: Hill exponent.
    """

    flow: Number
    volume: Number
    blood: Number
    partition: Number
    permeability: Number
    kt_res_release: Number
    kt_res_max: Number
    kt_res_50: Number
    kt_res_n: Number


class Course(NamedTuple):
    """Where the dose is, in % of it, and the tumor's delivery efficiencies.

    Attributes:
        amounts: Each state at each time, shape (time, state): blood of `ORGANS`, then tissue, then
            phagocytes, arterial and venous plasma, urine, bile.
        de24: Mean of the tumor's tissue over 24 h [%].
        de168: The same over 168 h [%].
        demax: Its maximum from the infusion's end to 180 h [%].
        tmax: When [h].
    """

    amounts: Float[Array, "time state"]
    de24: Number
    de168: Number
    demax: Number
    tmax: Number

    @property
    def plasma(self) -> Float[Array, " time"]:
        """Arterial and venous plasma."""
        return self.amounts[:, ARTERIAL] + self.amounts[:, VENOUS]

    def tissue(self, organ: str) -> Float[Array, " time"]:
        """Tissue and its phagocytes, without blood: what a perfused organ holds."""
        k = ORGANS.index(organ)
        return self.amounts[:, 8 + k] + self.amounts[:, 16 + k]

    def blood(self, organ: str) -> Float[Array, " time"]:
        """Capillary blood of an organ."""
        return self.amounts[:, ORGANS.index(organ)]

    def organ(self, organ: str) -> Float[Array, " time"]:
        """All of an organ: blood, tissue, phagocytes."""
        return self.blood(organ) + self.tissue(organ)


class _Rates(NamedTuple):
    """Rates between amounts [1/h]; by organ unless told."""

    enter: Array  # from arterial plasma, of the lung from venous
    leave: Array  # from blood with the flow
    out: Array  # from blood into tissue
    back: Array  # from tissue into blood
    lost_blood: Array  # to urine
    lost_tissue: Array  # to bile
    release: Array
    uptake: Array
    half: Array  # log h
    power: Array
    arterial: Array  # turnover of arterial plasma, of all organs together
    venous: Array


def follow(
    tumor: Tumor,
    weight: Number,
    times: Float[Array | np.ndarray, " time"],
    *,
    resolution: Resolution = "fast",
    species: Species = "mouse",
) -> Course:
    """Follow one dose for 180 h.

    Args:
        tumor: The tumor's parameters.
        weight: Body weight [kg].
        times: When amounts are asked for, from 0 to 180 [h], shape (time,).
        resolution: "fast" is within 1e-4 of the amounts, what training uses; "fine" within 1e-6.
        species: Other than a mouse is extrapolation: organs keep the mouse's shares of weight and
            flow, flows and clearances go with weight to the power 3/4, rates of phagocytes to the
            power -1/4.

    Returns:
        Amounts in % of the dose, and delivery efficiencies.
    """
    # A number of the host's would be a constant of the program: one to compile for every mouse.
    own = jax.tree.map(lambda x: jnp.asarray(x, float), (tumor, weight, times))
    return _follow(*own, resolution, species)


@partial(jax.jit, static_argnums=(3, 4))
def _follow(
    tumor: Tumor,
    weight: Float[Array, ""],
    ends: Float[Array, " time"],
    resolution: Resolution,
    species: Species,
) -> Course:
    rates = _rates(tumor, weight, species)
    grid = time_grid(resolution)
    state = jnp.zeros(STATES)
    solve = partial(_solve, rates)

    def advance(now: tuple[Array, Array], span: tuple[Array, Array]) -> tuple[tuple, tuple]:
        (state, area), (start, stop) = now, span
        after, more = sdirk_step(solve, _entering(start), start, stop - start, state)
        area = area + more[8 + TUMOR] + more[16 + TUMOR]
        return (after, area), (after, area)

    spans = jnp.asarray(grid[:-1]), jnp.asarray(grid[1:])
    _, (states, areas) = jax.lax.scan(jax.checkpoint(advance), (state, jnp.zeros(())), spans)
    states = jnp.concatenate([state[None], states])
    slopes = jax.vmap(partial(_slope, rates))(jnp.asarray(grid), states)
    curve = _Curve(jnp.asarray(grid), states, slopes)
    day, week = (int(np.searchsorted(grid, hours)) - 1 for hours in (24.0, 168.0))
    highest, when = _maximum(curve, grid)
    return Course(
        jnp.maximum(jax.vmap(curve.at)(ends), 0.0),
        areas[day] / 24,
        areas[week] / 168,
        highest,
        when,
    )


def time_grid(resolution: Resolution) -> Float[np.ndarray, " point"]:
    """Times of the steps [h]: dense after the infusion begins and ends, 24 and 168 among them."""
    early, late, longest = STEPS[resolution]

    def geometric(stop: float, ratio: float) -> np.ndarray:
        count = int(np.ceil(np.log(stop / FIRST) / np.log(ratio)))
        return np.geomspace(FIRST, stop, count + 1)

    def even(start: float, stop: float) -> np.ndarray:
        return np.linspace(start, stop, int(np.ceil((stop - start) / longest)) + 1)[1:]

    turn = longest / (late - 1)  # where geometric steps have grown to the longest
    parts = [
        np.zeros(1),
        geometric(INFUSION, early),
        INFUSION + geometric(turn, late),
        even(INFUSION + turn, 24.0) if turn < 24 else np.zeros(0),
        even(24.0, 168.0),
        even(168.0, END),
    ]
    return np.concatenate(parts)


def rate_matrix(
    tumor: Tumor, weight: Number, time: Number, species: Species = "mouse"
) -> Float[Array, "state state"]:
    """The system's matrix at a time [1/h]: its columns sum to 0, since nothing is lost."""
    rates = _rates(tumor, jnp.asarray(weight, float), species)
    return jax.jacfwd(partial(_flows, rates, jnp.asarray(time, float)))(jnp.zeros(STATES))


def _rates(tumor: Tumor, weight: Array, species: Species) -> _Rates:
    def of_organs(known: np.ndarray, own: Number, rest: Number | None = None) -> Array:
        """The table's values with the tumor's own, and what is left for the rest of the body."""
        found = jnp.asarray(known).at[TUMOR].set(own)
        return found if rest is None else found.at[REST].set(rest)

    output = _OUTPUT * weight**0.75
    flow = of_organs(_FLOW, tumor.flow, 1 - _FLOW.sum() - tumor.flow).at[LUNG].set(1.0) * output
    volume = weight * of_organs(_VOLUME, tumor.volume, 1 - _VOLUME.sum() - _PLASMA - tumor.volume)
    share = of_organs(_BLOOD, tumor.blood)
    blood, tissue = share * volume, (1 - share) * volume
    exchange = of_organs(_PERMEABILITY, tumor.permeability) * flow
    arterial = _ARTERIAL * _PLASMA * weight
    venous = (1 - _ARTERIAL) * _PLASMA * weight
    slower = 1.0 if species == "mouse" else (weight / MOUSE_WEIGHT) ** -0.25
    return _Rates(
        enter=flow / jnp.where(np.arange(8) == LUNG, venous, arterial),
        leave=flow / blood,
        out=exchange / blood,
        back=exchange / (tissue * of_organs(_PARTITION, tumor.partition)),
        lost_blood=(np.arange(8) == KIDNEY) * _URINE * weight**0.75 / blood,
        lost_tissue=(np.arange(8) == LIVER) * _BILE * weight**0.75 / tissue,
        release=slower * of_organs(_RELEASE, tumor.kt_res_release),
        uptake=slower * of_organs(_UPTAKE, tumor.kt_res_max),
        half=jnp.log(of_organs(_HALF, tumor.kt_res_50) / slower),
        power=of_organs(_POWER, tumor.kt_res_n),
        arterial=output / arterial,
        venous=output / venous,
    )


def _uptake(rates: _Rates, time: Array) -> Array:
    """k_up of each organ [1/h]; t^n / (k50^n + t^n) as a logistic function of log t."""
    log_time = jnp.log(jnp.maximum(time, 1e-12))
    return rates.uptake * jax.nn.sigmoid(rates.power * (log_time - rates.half))


def _entering(time: Array) -> Array:
    """What is infused per hour in a step that begins at a time."""
    rate = jnp.where(time < INFUSION * (1 - 1e-9), FULL / INFUSION, 0.0)
    return jnp.zeros(STATES).at[VENOUS].set(rate)


def _flows(rates: _Rates, time: Array, state: Array) -> Array:
    """A(t) y."""
    blood, tissue, cells = state[:8], state[8:16], state[16:24]
    arterial, venous = state[ARTERIAL], state[VENOUS]
    uptake = _uptake(rates, time)
    taken = uptake * jnp.where(_FROM_BLOOD, blood, tissue) - rates.release * cells
    exchanged = rates.out * blood - rates.back * tissue
    enter = rates.enter * jnp.where(np.arange(8) == LUNG, venous, arterial)
    enter = enter.at[LIVER].add(rates.leave[SPLEEN] * blood[SPLEEN])
    gone = rates.leave * blood
    urine, bile = rates.lost_blood * blood, rates.lost_tissue * tissue
    return jnp.concatenate(
        [
            enter - gone - exchanged - urine - _FROM_BLOOD * taken,
            exchanged - bile - (1 - _FROM_BLOOD) * taken,
            taken,
            jnp.stack(
                [
                    gone[LUNG] - rates.arterial * arterial,
                    _TO_VENOUS @ gone - rates.venous * venous,
                    jnp.sum(urine),
                    jnp.sum(bile),
                ]
            ),
        ]
    )


def _slope(rates: _Rates, time: Array, state: Array) -> Array:
    """The derivative just after a time."""
    return _flows(rates, time, state) + _entering(time)


def _solve(rates: _Rates, time: Array, c: Array, given: Array) -> Array:
    """Solve (I - c A(t)) u = given, organ by organ.

    Each organ's blood is x + y a with a the plasma that feeds it; two equations for arterial and
    venous plasma are left. Every denominator is a sum of positive terms.
    """
    blood, tissue, cells = given[:8], given[8:16], given[16:24]
    uptake = _uptake(rates, time)
    held = 1 / (1 + c * rates.release)
    from_tissue, from_blood = (1 - _FROM_BLOOD) * uptake * held, _FROM_BLOOD * uptake * held
    returned = c * rates.release * held * cells
    stays = 1 + c * (from_tissue + rates.lost_tissue)
    wide = stays + c * rates.back
    in_tissue = tissue + (1 - _FROM_BLOOD) * returned
    deep = 1 + c * (rates.leave + rates.lost_blood + rates.out * stays / wide + from_blood)
    x = (blood + c * rates.back * in_tissue / wide + _FROM_BLOOD * returned) / deep
    y = c * rates.enter / deep
    through = c * rates.leave[SPLEEN] / deep[LIVER]
    x = x.at[LIVER].add(through * x[SPLEEN])
    y = y.at[LIVER].add(through * y[SPLEEN])
    # arterial: p a - q v = f; venous: s v - w a = g
    p, q = 1 + c * rates.arterial, c * rates.leave[LUNG] * y[LUNG]
    s, w = 1 + c * rates.venous, c * jnp.sum(_TO_VENOUS * rates.leave * y)
    f = given[ARTERIAL] + c * rates.leave[LUNG] * x[LUNG]
    g = given[VENOUS] + c * jnp.sum(_TO_VENOUS * rates.leave * x)
    arterial = (s * f + q * g) / (p * s - q * w)
    venous = (g + w * arterial) / s
    blood = x + y * jnp.where(np.arange(8) == LUNG, venous, arterial)
    tissue = (in_tissue + c * rates.out * blood) / wide
    cells = held * (cells + c * uptake * jnp.where(_FROM_BLOOD, blood, tissue))
    urine = given[URINE] + c * jnp.sum(rates.lost_blood * blood)
    bile = given[BILE] + c * jnp.sum(rates.lost_tissue * tissue)
    return jnp.concatenate([blood, tissue, cells, jnp.stack([arterial, venous, urine, bile])])


class _Curve(NamedTuple):
    """Cubics between grid points, from values and slopes."""

    time: Array
    value: Array
    slope: Array

    def at(self, time: Array) -> Array:
        """Values at one time."""
        right = jnp.clip(jnp.searchsorted(self.time, time), 1, self.time.size - 1)
        return self.between(right - 1, time)

    def between(self, left: Array, time: Array) -> Array:
        """Values at one time of the interval that begins at the grid point `left`."""
        start, stop = self.time[left], self.time[left + 1]
        h = stop - start
        s = (time - start) / h
        a, b = self.value[left], self.value[left + 1]
        u, v = h * self.slope[left], h * self.slope[left + 1]
        return a + s * (u + s * (3 * (b - a) - 2 * u - v + s * (2 * (a - b) + u + v)))


def _maximum(curve: _Curve, grid: np.ndarray) -> tuple[Array, Array]:
    """The tumor tissue's maximum from the infusion's end on, and when."""
    first = int(np.searchsorted(grid, INFUSION))
    total = curve.value[:, 8 + TUMOR] + curve.value[:, 16 + TUMOR]
    best = first + jnp.argmax(total[first:])
    left = jnp.clip(best - 1, first, grid.size - 2)
    right = jnp.clip(best, first, grid.size - 2)

    def looks(start: Array) -> tuple[Array, Array]:
        share = jnp.linspace(0.0, 1.0, ZOOM + 1)
        time = curve.time[start] + share * (curve.time[start + 1] - curve.time[start])
        states = jax.vmap(lambda t: curve.between(start, t))(time)
        return time, states[:, 8 + TUMOR] + states[:, 16 + TUMOR]

    (t0, v0), (t1, v1) = looks(left), looks(right)
    time, value = jnp.concatenate([t0, t1]), jnp.concatenate([v0, v1])
    top = jnp.argmax(value)
    return value[top], time[top]
