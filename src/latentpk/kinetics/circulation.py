"""Enterohepatic circulation: what the gallbladder gathers comes back, as systems of amounts."""

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from latentpk.kinetics.decay import Scalar
from latentpk.kinetics.doses import Doses
from latentpk.kinetics.system import Differential, Inputs, Named, Site, Windows

State = Float[Array, " state"]
DAY, DAYS = 24.0, 2  # hours; days after a dose whose meals are counted


def _given(doses: Doses) -> tuple[Bool[Array, " dose"], Float[Array, " dose"]]:
    """Which are doses, not padding, and when the next one follows each; inf after the last."""
    given = doses.amount > 0
    later = given & (doses.time > doses.time[:, None])
    following = jnp.min(jnp.where(later, doses.time, jnp.inf), axis=1)
    return given, following


def _emptying(doses: Doses, p: Named) -> Windows:
    """The gallbladder empties `tgb` after each dose for `dgb`, or until the next dose."""
    given, following = _given(doses)
    start = doses.time + p["tgb"]
    stop = jnp.where(given, jnp.minimum(start + p["dgb"], following), doses.time)
    return Windows(jnp.where(given, start, doses.time), stop)


def _meals(doses: Doses, p: Named) -> Windows:
    """Meals of `dmeal` hours, of the days after each dose until the next."""
    given, following = _given(doses)
    starts, stops = [], []
    for name in (name for name in p if name.startswith("tmeal")):
        first = p[name] + DAY * jnp.ceil((doses.time - p[name]) / DAY)
        for day in range(DAYS):
            start = first + DAY * day
            eaten = given & (start < following)
            starts.append(jnp.where(eaten, start, doses.time))
            stops.append(jnp.where(eaten, start + p["dmeal"], doses.time))
    return Windows(jnp.concatenate(starts), jnp.concatenate(stops))


@dataclass(frozen=True)
class Recirculation(Differential):
    r"""Enterohepatic circulation: bile gathers in the gallbladder and is given back to the gut.

    .. math:: \dot A_1 = k_a A_d + k_r A_i - \frac{CL + CL_b + Q_2}{V_1} A_1 + \frac{Q_2}{V_2} A_2,
              \quad \dot G = \frac{CL_b}{V_1} A_1 - k_g(t) G,\quad \dot A_i = k_g(t) G - k_r A_i

    The gallbladder empties at kgb from `tgb` after each dose on, for `dgb` or until the next dose.
    """

    oral = True
    steady_rates = True
    size = 5  # central, periphery, depot, gallbladder, gut
    central = 0
    names = ("cl", "clb", "v1", "q2", "v2", "ka", "kr", "tgb", "dgb", "kgb")

    def __str__(self) -> str:
        return "ehc"

    def slope(self, state: State, p: Named, inputs: Inputs) -> State:
        """Derivative of the amounts [mg/h]."""
        central, outside, depot, bile, gut = state
        level = central / p["v1"]
        out = p["q2"] * (level - outside / p["v2"])
        absorbed, returned = p["ka"] * depot, p["kr"] * gut
        emptied = inputs.on * p["kgb"] * bile
        return jnp.stack(
            [
                absorbed + returned - (p["cl"] + p["clb"]) * level - out,
                out,
                -absorbed,
                p["clb"] * level - emptied,
                emptied - returned,
            ]
        )

    def concentration(self, state: State, p: Named) -> Scalar:
        """In the central compartment [mg/L]."""
        return state[0] / p["v1"]

    def sites(self, p: Named) -> tuple[Site, ...]:
        """The depot."""
        return (Site(2, jnp.ones_like(p["ka"]), jnp.zeros_like(p["ka"])),)

    def windows(self, doses: Doses, p: Named) -> Windows:
        """When the gallbladder empties."""
        return _emptying(doses, p)


@dataclass(frozen=True)
class MealRecirculation(Recirculation):
    """Enterohepatic circulation whose gallbladder empties at meals of the day.

    They begin `tmeal1`, `tmeal2`, ... hours after the midnight of the file's clock (TIME 0, 24,
    ...), which is the same for all, and last for `dmeal`; those of the two days after a dose count.

    Attributes:
        meals: How many meals a day has.
    """

    meals: int

    def __str__(self) -> str:
        return f"ehc-meals{self.meals}"

    @property
    def names(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Of the parameters, the meals' times before what is the same for all meals."""
        times = (f"tmeal{number}" for number in range(1, self.meals + 1))
        return ("cl", "clb", "v1", "q2", "v2", "ka", "kr", *times, "dmeal", "kgb")

    def windows(self, doses: Doses, p: Named) -> Windows:
        """When it is a time to eat."""
        return _meals(doses, p)


@dataclass(frozen=True)
class BindingRecirculation(Differential):
    r"""Enterohepatic circulation of a metabolite that competes for the drug's binding sites.

    .. math:: \dot B = k_{on} C (B_{max} - B - B_m) - k_{off} B,\quad
              \dot B_m = k_{onm} C_m (B_{max} - B - B_m) - k_{offm} B_m

    C and C_m are the free concentrations of drug and metabolite (counted in mg of drug); all of
    cl makes metabolite, which leaves by clm or, at kbile, into the gallbladder, which gives it
    back as drug. B counts as an amount and, in 1 L, as a concentration: C + B is measured.
    """

    oral = True
    size = 7  # drug, periphery, depot, bound drug, metabolite, bound metabolite, gallbladder
    central = 0
    names = (
        *(
            "cl",
            "v1",
            "q2",
            "v2",
            "ka",
            "alag",
            "kon",
            "koff",
            "bmax",
            "clm",
            "vm",
            "konm",
            "koffm",
        ),
        *("kbile", "tgb", "dgb", "kgb"),
    )

    def __str__(self) -> str:
        return "ehc-binding"

    def slope(self, state: State, p: Named, inputs: Inputs) -> State:
        """Derivative of the amounts [mg/h]."""
        drug, outside, depot, bound, metabolite, kept, bile = state
        level, other = drug / p["v1"], metabolite / p["vm"]
        free = p["bmax"] - bound - kept
        binding = p["kon"] * level * free - p["koff"] * bound
        keeping = p["konm"] * other * free - p["koffm"] * kept
        out = p["q2"] * (level - outside / p["v2"])
        absorbed, made = p["ka"] * depot, p["cl"] * level
        stored, emptied = p["kbile"] * metabolite, inputs.on * p["kgb"] * bile
        return jnp.stack(
            [
                absorbed + emptied - made - out - binding,
                out,
                -absorbed,
                binding,
                made - p["clm"] * other - keeping - stored,
                keeping,
                stored - emptied,
            ]
        )

    def concentration(self, state: State, p: Named) -> Scalar:
        """Free and bound drug [mg/L]."""
        return state[0] / p["v1"] + state[3]

    def sites(self, p: Named) -> tuple[Site, ...]:
        """The depot."""
        return (Site(2, jnp.ones_like(p["ka"]), p["alag"]),)

    def windows(self, doses: Doses, p: Named) -> Windows:
        """When the gallbladder empties."""
        return _emptying(doses, p)
