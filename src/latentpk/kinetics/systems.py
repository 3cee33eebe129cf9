"""The nonlinear systems by name: saturable elimination, targets, the gallbladder, transit chains.

All are homogeneous in mass: amounts of a target, a complex or a metabolite are counted in mg of the
drug they bind or came from, so that mole and mass give the same course.
"""

import re
from dataclasses import dataclass, field

import jax.numpy as jnp
from jaxtyping import Array, Float

from latentpk.errors import InputError
from latentpk.kinetics.decay import Scalar
from latentpk.kinetics.doses import Doses
from latentpk.kinetics.registry import is_users, users_system
from latentpk.kinetics.system import Inputs, Named, Site, System, Windows

State = Float[Array, " state"]
KNOWN = (
    "1c-mm or 2c-mm, then perhaps -cl (a linear clearance beside), perhaps -inh (Vmax falls with "
    "time), then -iv, -oral or -oral-lag, oral ones perhaps with -f; tmdd, tmdd-equilibrium, ehc, "
    "ehc-binding, transit1 to transit9, dual-absorption, and user:NAME of a registered UserSystem"
)
_MM = re.compile(r"([12])c-mm(-cl)?(-inh)?-(iv|oral|oral-lag)(-f)?")


def parse_system(text: str) -> System:
    """The system of that name.

    Args:
        text: One of `KNOWN`, or a registered system's name.

    Returns:
        The system; `str` gives the name back.

    Raises:
        InputError: An unknown name, or a user's system that is not registered.

    Example:
        >>> parse_system("1c-mm-cl-oral").names
        ('vmax', 'km', 'cl', 'v1', 'ka')
    """
    if is_users(text):
        return users_system(text)
    if (match := _MM.fullmatch(text)) and not (match[4] == "iv" and match[5]):
        return MichaelisMenten(
            compartments=int(match[1]),
            parallel=bool(match[2]),
            inhibited=bool(match[3]),
            oral=match[4] != "iv",
            lag=match[4] == "oral-lag",
            bioavailability=bool(match[5]),
        )
    if match := re.fullmatch(r"transit([1-9])", text):
        return Transit(int(match[1]))
    if text in _SINGLE:
        return _SINGLE[text]
    raise InputError(f"structure: {text!r}. Known nonlinear ones are {KNOWN}.")


def is_system(text: str) -> bool:
    """Whether that is the name of a system, a user's among them, registered or not.

    Example:
        >>> is_system("tmdd"), is_system("2c-iv")
        (True, False)
    """
    known = text in _SINGLE or is_users(text) or re.fullmatch(r"transit([1-9])", text)
    match = _MM.fullmatch(text)
    return bool(known or (match and not (match[4] == "iv" and match[5])))


@dataclass(frozen=True)
class MichaelisMenten(System):
    r"""Saturable elimination, perhaps beside a linear one, behind a depot and a periphery.

    .. math:: \dot A_1 = k_a A_d - \frac{V_{max} C}{K_m + C} - CL\,C - Q_2 C + Q_2 A_2 / V_2,
              \qquad C = A_1 / V_1

    With `inhibited`, Vmax falls from 1 h after the first dose on, by vinh x / (x + t50 - 1) of
    itself, x hours later. Bioavailability is the odds F / (1 - F), so that F stays below 1.
    """

    compartments: int = 1
    parallel: bool = False
    inhibited: bool = False
    oral: bool = False
    lag: bool = False
    bioavailability: bool = False

    def __str__(self) -> str:
        middle = "-cl" * self.parallel + "-inh" * self.inhibited
        route = "oral" + "-lag" * self.lag + "-f" * self.bioavailability if self.oral else "iv"
        return f"{self.compartments}c-mm{middle}-{route}"

    names: tuple[str, ...] = field(init=False)
    size: int = field(init=False)
    central = 0

    def __post_init__(self) -> None:
        names = (
            "vmax",
            "km",
            *("cl",) * self.parallel,
            "v1",
            *("q2", "v2") * (self.compartments - 1),
            *("vinh", "t50") * self.inhibited,
            *("ka",) * self.oral,
            *("alag",) * self.lag,
            *("fodds",) * self.bioavailability,
        )
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "size", self.compartments + self.oral)

    def slope(self, state: State, p: Named, inputs: Inputs) -> State:
        """Derivative of the amounts [mg/h]."""
        level = jnp.maximum(state[0], 0.0) / p["v1"]
        vmax = p["vmax"]
        if self.inhibited:
            since = inputs.on * jnp.maximum(inputs.since - 1.0, 0.0)
            half = jnp.maximum(p["t50"] - 1.0, 1e-3)
            vmax = vmax * (1 - jnp.minimum(p["vinh"], 1.0) * since / (since + half))
        central = -vmax * level / (p["km"] + level)
        if self.parallel:
            central = central - p["cl"] * state[0] / p["v1"]
        moving = []
        if self.compartments == 2:
            out = p["q2"] * (state[0] / p["v1"] - state[1] / p["v2"])
            central, moving = central - out, [out]
        if self.oral:
            absorbed = p["ka"] * state[-1]
            central, moving = central + absorbed, [*moving, -absorbed]
        return jnp.stack([central, *moving])

    def concentration(self, state: State, p: Named) -> Scalar:
        """In the central compartment [mg/L]."""
        return state[0] / p["v1"]

    def sites(self, p: Named) -> tuple[Site, ...]:
        """The depot; without one, the central compartment."""
        one, zero = jnp.ones_like(p["v1"]), jnp.zeros_like(p["v1"])
        share = p["fodds"] / (1 + p["fodds"]) if self.bioavailability else one
        return (Site(self.size - 1 if self.oral else 0, share, p.get("alag", zero)),)

    def windows(self, doses: Doses, p: Named) -> Windows:
        """Inhibition begins 1 h after the first dose."""
        if not self.inhibited:
            none = jnp.zeros(0, doses.time.dtype)
            return Windows(none, none)
        first = jnp.min(jnp.where(doses.amount > 0, doses.time, jnp.inf))
        return Windows(first[None] + 1, jnp.full_like(first, jnp.inf)[None])


@dataclass(frozen=True)
class TargetMediated(System):
    r"""Full target-mediated disposition: drug L, target R and complex RC, a depot, a periphery.

    .. math:: \dot L = \dots - (k_{on} L R - k_{off} RC),\quad
              \dot R = k_{syn} - k_{deg} R - k_{on} L R + k_{off} RC,\quad
              \dot{RC} = k_{on} L R - (k_{off} + k_{int}) RC

    Concentrations of the target are counted in mg of drug that it binds; the free drug is measured.
    """

    oral = True
    size = 5  # central, periphery, depot, target, complex (amounts in the central volume)
    central = 0
    names = ("cl", "v1", "q2", "v2", "ka", "f", "kon", "koff", "ksyn", "kdeg", "kint")

    def __str__(self) -> str:
        return "tmdd"

    def start(self, p: Named) -> State:
        """The target at its turnover, nothing else."""
        zero = jnp.zeros_like(p["v1"])
        return jnp.stack([zero, zero, zero, p["v1"] * p["ksyn"] / p["kdeg"], zero])

    def slope(self, state: State, p: Named, inputs: Inputs) -> State:
        """Derivative of the amounts [mg/h]."""
        drug, outside, depot, target, bound = state
        v1 = p["v1"]
        binding = p["kon"] * drug * target / v1 - p["koff"] * bound
        out = p["q2"] * (drug / v1 - outside / p["v2"])
        absorbed = p["ka"] * depot
        return jnp.stack(
            [
                absorbed - p["cl"] * drug / v1 - out - binding,
                out,
                -absorbed,
                p["ksyn"] * v1 - p["kdeg"] * target - binding,
                binding - p["kint"] * bound,
            ]
        )

    def concentration(self, state: State, p: Named) -> Scalar:
        """Free drug [mg/L]."""
        return state[0] / p["v1"]

    def sites(self, p: Named) -> tuple[Site, ...]:
        """The depot."""
        return (Site(2, p["f"], jnp.zeros_like(p["f"])),)


@dataclass(frozen=True)
class EquilibriumBinding(System):
    r"""Drug and target that bind at once, with a dissociation constant that falls with excess.

    .. math:: K_D = k_{D0} (X/E)^\alpha,\quad
              X_C = \tfrac12\big(S - \sqrt{S^2 - 4 X E}\big),\quad S = X + E + K_D V_1^2 / V_c

    X and E are all drug and all target outside the depot, in mg of drug; the complex leaves by
    cl + dcl, free drug by cl, free target by clt; the target is made at `kin` and begins at
    `base`. All drug, free and bound, is measured.
    """

    oral = True
    size = 3  # drug, target, depot
    central = 0
    names = ("cl", "dcl", "clt", "v1", "vc", "ka", "kin", "kd0", "alpha", "base")

    def __str__(self) -> str:
        return "tmdd-equilibrium"

    def start(self, p: Named) -> State:
        """The target at its baseline."""
        zero = jnp.zeros_like(p["v1"])
        return jnp.stack([zero, p["base"] * p["v1"], zero])

    def slope(self, state: State, p: Named, inputs: Inputs) -> State:
        """Derivative of the amounts [mg/h]."""
        free, target, bound = self._parts(state, p)
        leaving = (p["cl"] + p["dcl"]) * bound
        absorbed = p["ka"] * state[2]
        return jnp.stack(
            [
                absorbed - p["cl"] * free - leaving,
                p["kin"] - p["clt"] * target - leaving,
                -absorbed,
            ]
        )

    def concentration(self, state: State, p: Named) -> Scalar:
        """All drug, free and bound [mg/L]."""
        free, _, bound = self._parts(state, p)
        return free + bound

    def sites(self, p: Named) -> tuple[Site, ...]:
        """The depot; volumes and clearances are apparent, F is 1."""
        return (Site(2, jnp.ones_like(p["ka"]), jnp.zeros_like(p["ka"])),)

    def _parts(self, state: State, p: Named) -> tuple[Scalar, Scalar, Scalar]:
        """Concentrations of free drug, free target and complex."""
        floor = 1e-6 * p["base"] * p["v1"] + jnp.finfo(state.dtype).tiny
        drug, target = jnp.maximum(state[0], 0.0), jnp.maximum(state[1], floor)
        ratio = jnp.clip(drug / target, 1e-6, 1e6)  # its power has no slope at 0
        kd = p["kd0"] * ratio ** jnp.minimum(p["alpha"], 2.0)
        total = drug + target + kd * p["v1"] ** 2 / p["vc"]
        root = jnp.sqrt(jnp.maximum(total**2 - 4 * drug * target, (1e-9 * total) ** 2))
        bound = 2 * drug * target / (total + root)  # no difference of large numbers
        return (drug - bound) / p["v1"], (target - bound) / p["v1"], bound / p["vc"]


def _emptying(doses: Doses, p: Named) -> Windows:
    """The gallbladder empties `tgb` after each dose for `dgb`, or until the next dose."""
    given = doses.amount > 0
    later = given & (doses.time > doses.time[:, None])
    following = jnp.min(jnp.where(later, doses.time, jnp.inf), axis=1)
    start = doses.time + p["tgb"]
    stop = jnp.where(given, jnp.minimum(start + p["dgb"], following), doses.time)
    return Windows(jnp.where(given, start, doses.time), stop)


@dataclass(frozen=True)
class Recirculation(System):
    r"""Enterohepatic circulation: bile gathers in the gallbladder and is given back to the gut.

    .. math:: \dot A_1 = k_a A_d + k_r A_i - \frac{CL + CL_b + Q_2}{V_1} A_1 + \frac{Q_2}{V_2} A_2,
              \quad \dot G = \frac{CL_b}{V_1} A_1 - k_g(t) G,\quad \dot A_i = k_g(t) G - k_r A_i

    The gallbladder empties at kgb from `tgb` after each dose on, for `dgb` or until the next dose.
    """

    oral = True
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
class BindingRecirculation(System):
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


@dataclass(frozen=True)
class Transit(System):
    """One compartment behind a chain of equal transit compartments, all left at rate ktr."""

    count: int = 3
    size: int = field(init=False)
    oral = True
    central = 0
    names = ("cl", "v1", "ktr")

    def __str__(self) -> str:
        return f"transit{self.count}"

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", 2 + self.count)  # central, the head, the chain

    def slope(self, state: State, p: Named, inputs: Inputs) -> State:
        """Derivative of the amounts [mg/h]."""
        passing = p["ktr"] * state[1:]
        entering = jnp.concatenate([jnp.zeros_like(passing[:1]), passing[:-1]])
        central = passing[-1] - p["cl"] * state[0] / p["v1"]
        return jnp.concatenate([central[None], entering - passing])

    def concentration(self, state: State, p: Named) -> Scalar:
        """In the central compartment [mg/L]."""
        return state[0] / p["v1"]

    def sites(self, p: Named) -> tuple[Site, ...]:
        """The head of the chain."""
        return (Site(1, jnp.ones_like(p["ktr"]), jnp.zeros_like(p["ktr"])),)


@dataclass(frozen=True)
class DualAbsorption(System):
    """One compartment; a share `fa` is absorbed at ka, the rest at ka2 after a lag alag2."""

    oral = True
    size = 3  # central, first and second site
    central = 0
    names = ("cl", "v1", "fa", "ka", "ka2", "alag2")

    def __str__(self) -> str:
        return "dual-absorption"

    def slope(self, state: State, p: Named, inputs: Inputs) -> State:
        """Derivative of the amounts [mg/h]."""
        central, first, second = state
        fast, slow = p["ka"] * first, p["ka2"] * second
        return jnp.stack([fast + slow - p["cl"] * central / p["v1"], -fast, -slow])

    def concentration(self, state: State, p: Named) -> Scalar:
        """In the central compartment [mg/L]."""
        return state[0] / p["v1"]

    def sites(self, p: Named) -> tuple[Site, ...]:
        """Both sites."""
        share = jnp.minimum(p["fa"], 1.0)
        return (
            Site(1, share, jnp.zeros_like(share)),
            Site(2, 1 - share, p["alag2"]),
        )


_SINGLE: dict[str, System] = {
    str(system): system
    for system in (
        TargetMediated(),
        EquilibriumBinding(),
        Recirculation(),
        BindingRecirculation(),
        DualAbsorption(),
    )
}
