"""One small ward of patients and one model fitted to it, for every test that needs a fitted one."""

import numpy as np
import polars as pl
import pytest

# The package is imported inside the fixtures: this file is read before the hook that checks types.

DOSES = (0.0, 12.0, 24.0)
LEVELS = (2.0, 11.0, 26.0, 35.0)


def infusion(time, dose, cl, v, *, hours=1.0):
    """Concentrations of one-hour infusions into one compartment [mg/L]; nothing of the package."""
    k = cl / v
    since = time[:, None] - np.asarray(DOSES)[None, :]
    during = np.clip(since, 0.0, hours)
    after = np.maximum(since - hours, 0.0)
    return np.sum(dose / hours / cl * (1 - np.exp(-k * during)) * np.exp(-k * after), axis=1)


def make_ward(subjects, seed):
    """Patients with three infusions and four levels, clearance and volume by weight."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(1, subjects + 1):
        weight = float(np.round(70 * np.exp(0.25 * rng.standard_normal()), 1))
        cl = 4.0 * (weight / 70) ** 0.75 * np.exp(0.3 * rng.standard_normal())
        v = 40.0 * weight / 70 * np.exp(0.2 * rng.standard_normal())
        dose = float(rng.choice([200.0, 300.0, 400.0]))
        time = np.asarray(LEVELS) + np.round(rng.uniform(-0.5, 0.5, len(LEVELS)), 2)
        level = infusion(time, dose, cl, v) * np.exp(0.1 * rng.standard_normal(len(LEVELS)))
        rows += [(number, t, 1, 1, 1, dose, dose, None, weight) for t in DOSES]
        values = zip(time, level, strict=True)
        rows += [(number, t, 0, 0, 1, 0.0, 0.0, float(f"{y:.4g}"), weight) for t, y in values]
    names = ["ID", "TIME", "EVID", "MDV", "CMT", "AMT", "RATE", "DV", "WT"]
    return pl.DataFrame(rows, schema=names, orient="row").sort("ID", "TIME", maintain_order=True)


SETTINGS = {"decoder": "compartment", "structure": "1c-iv", "prior": "linear", "epochs": 60}


@pytest.fixture(scope="session")
def ward():
    """Training patients, as a frame."""
    return make_ward(24, seed=5)


@pytest.fixture(scope="session")
def patients():
    """Six other patients of the ward, IDs 1 to 6."""
    return make_ward(6, seed=11)


@pytest.fixture(scope="session")
def fitted(ward):
    """A model of the ward; never change it."""
    from latentpk import ProfileVAE, read_nonmem

    return ProfileVAE(**SETTINGS).fit(read_nonmem(ward))


@pytest.fixture(scope="session")
def fitted_folder(fitted, tmp_path_factory):
    """That model on disk; never change it."""
    folder = tmp_path_factory.mktemp("models") / "ward.model"
    fitted.save(folder)
    return folder


@pytest.fixture
def forecast(fitted):
    """Read a frame as the fitted model asks for, and forecast it."""
    from latentpk import read_nonmem

    def _forecast(frame, *, draws=1024, seed=0, **options):
        reading = fitted.reading() | {"purpose": "forecast"} | options
        return fitted.forecast(read_nonmem(frame, **reading), draws=draws, seed=seed)

    return _forecast


def make_mixed(subjects, seed, *, complex_every=2):
    """One bolus and six levels each; every second patient's drug also enters a deep compartment.

    Labels come beside the table: who has two exponentials where the others have one.
    """
    rng = np.random.default_rng(seed)
    rows, labels = [], []
    for number in range(1, subjects + 1):
        deep = complex_every > 0 and number % complex_every == 0
        v = 20.0 * np.exp(0.15 * rng.standard_normal())
        fast, slow = (v_k * np.exp(0.15 * rng.standard_normal()) for v_k in (0.9, 0.08))
        share = 0.85 if deep else 0.0
        rate = fast if deep else 0.2 * np.exp(0.2 * rng.standard_normal())
        time = np.array([0.5, 1.5, 3.0, 6.0, 12.0, 20.0]) + np.round(rng.uniform(0, 0.3, 6), 2)
        clean = 100 / v * ((1 - share) * np.exp(-slow * time) + share * np.exp(-rate * time))
        level = clean if deep else 100 / v * np.exp(-rate * time)
        level = level * np.exp(0.1 * rng.standard_normal(6))
        weight = round(70 * float(np.exp(0.2 * rng.standard_normal())), 1)
        rows.append((number, 0.0, 1, 1, 1, 100.0, None, weight))
        values = zip(time, level, strict=True)
        rows += [(number, t, 0, 0, 1, 0.0, float(f"{y:.4g}"), weight) for t, y in values]
        labels.append(deep)
    names = ["ID", "TIME", "EVID", "MDV", "CMT", "AMT", "DV", "WT"]
    return pl.DataFrame(rows, schema=names, orient="row"), np.array(labels)


@pytest.fixture(scope="session")
def mixed():
    """Sixty patients of two kinds, as a frame, and who is complex."""
    return make_mixed(60, seed=2)


@pytest.fixture(scope="session")
def mixed_of():
    """Such patients, made as `make_mixed` makes them."""
    return make_mixed


def assemble(cohort, structure, typical, spread, *, error, free=False):
    """A ProfileVAE of stated numbers, without training.

    Where it is `free` its decoder is a compartment model that nothing knows for one.
    """
    import equinox as eqx
    import jax.numpy as jnp

    from latentpk import ProfileVAE
    from latentpk.models.decoders.compartment import CompartmentDecoder
    from latentpk.models.decoders.decoder import Decoder
    from latentpk.models.latent import build
    from latentpk.workflows.card import reading
    from latentpk.workflows.ground import make_ground
    from latentpk.workflows.profile import Fitted
    from latentpk.workflows.trials import Candidate

    class Free(Decoder):
        inner: CompartmentDecoder

        @property
        def latent(self):
            return self.inner.latent

        def concentration(self, z, change, doses, time, order, *, paths):
            return self.inner.concentration(z, change, doses, time, order, paths=paths)

        def auc(self, z, change, doses, start, end, *, paths):
            return self.inner.auc(z, change, doses, start, end, paths=paths)

    config = make_ground(cohort, "combined2", 0).config(structure, "iv", "linear")
    model = eqx.tree_at(
        lambda m: (m.prior.typical, m.prior.factor, m.residual.log_a, m.residual.log_b),
        build(config),
        (
            jnp.log(jnp.asarray(typical)),
            jnp.diag(jnp.log(jnp.asarray(spread))),
            jnp.log(jnp.asarray(1e-3)),
            jnp.log(jnp.asarray(error)),
        ),
    )
    if free:
        model = eqx.tree_at(lambda m: m.decoder, model, Free(model.decoder))
    fitted = Fitted(
        settings=ProfileVAE().settings,
        config=config,
        chosen=Candidate(decoder="kernel" if free else structure, route="iv"),
        card={"hashes": {"data": cohort.source_hash}},
        reading=reading(cohort, config),
        notices=(),
    )
    return ProfileVAE.assembled(model, fitted)


@pytest.fixture(scope="session")
def mixed_models(mixed):
    """A free model of those patients and a one-compartment model; never change them.

    As trained on both kinds: priors too wide for either, the second one's error too large.
    """
    from latentpk import read_nonmem

    cohort = read_nonmem(mixed[0], covariates=["WT"])
    return (
        assemble(
            cohort, "2c-iv", [5.3, 20.0, 2.0, 40.0], [0.4, 0.2, 1.5, 0.4], error=0.1, free=True
        ),
        assemble(cohort, "1c-iv", [5.0, 27.0], [0.5, 0.5], error=0.3),
    )


@pytest.fixture(scope="session")
def assessed(mixed, mixed_models):
    """Those patients judged by these models; never change it."""
    from latentpk import read_nonmem
    from latentpk.workflows.complexity.assess import ComplexitySettings, assess

    model, rival = mixed_models
    cohort = read_nonmem(mixed[0], **model.reading(), purpose="forecast")
    settings = ComplexitySettings(draws=256, dimension_subjects=12)
    return assess(model, cohort, rival=rival, settings=settings)


def make_particles(rows, seed, *, incomplete=0):
    """Particles whose delivery falls with their size, and the studies they come from, as frames.

    Four particles make a study; the last two are of the first. The last `incomplete` ones have no
    size.
    """
    rng = np.random.default_rng(seed)
    size, dose = np.exp(rng.normal(4.4, 0.7, rows)), np.exp(rng.normal(1.5, 0.8, rows))
    zeta, charge = rng.uniform(1, 45, rows), rng.integers(0, 3, rows)
    tumor = np.exp(rng.normal(-1.5, 0.8, rows))
    signal = (np.log(size) - 4.4) / 0.7
    noise = iter(rng.normal(0, 0.15, (7, rows)))
    columns = {
        "ID": [str(1000 + k) for k in range(rows)],
        "Type": rng.choice(["Organic", "Inorganic", "Hybrid"], rows),
        "TS": rng.choice(["Passive", "Active"], rows),
        "HD": [None if k >= rows - incomplete else value for k, value in enumerate(size)],
        "Zeta": zeta,
        "Charge": charge,
        "Shape": rng.choice(["Spherical", "Rod", "Plate"], rows),
        "TM": rng.choice(["Xenograft Heterotopic", "Allograft Heterotopic", "Other"], rows),
        "CT": rng.choice(["Breast", "Colon", "Brain", "Liver"], rows),
        "TSz": tumor,
        "TW": 1.2 * tumor,
        "Dose": dose,
        "BW": rng.uniform(18, 26, rows),
        "DE24": 10 ** (0.2 - 0.3 * signal + next(noise)),
        "DE168": 10 ** (0.1 - 0.3 * signal + next(noise)),
        "Demax": 10 ** (0.4 - 0.3 * signal + next(noise)),
        "KTRESmax": 10 ** (-1 - 0.2 * signal + next(noise)),
        "KTRES50": 10 ** (1 + 2 * next(noise)),
        "KTRESn": 10 ** (0.2 + next(noise)),
        "KTRESrelease": 10 ** (-1.5 + 0.3 * signal + next(noise)),
        "QTC": 0.01,
        "VTC": 0.01,
        "BVT": rng.uniform(0.01, 0.05, rows),
        "PT": rng.uniform(0.1, 1, rows),
        "PATC": rng.uniform(0.01, 0.1, rows),
    }
    studies = {
        "ID": columns["ID"],
        "study_id": [f"s{k // 4 if k < rows - 2 else 0}" for k in range(rows)],
        "MAT": rng.choice(["Gold", "Silica", "Liposomes"], rows),
        "ZP_signed": zeta * np.array([-1.0, 1.0, 0.0])[charge],
    }
    return pl.DataFrame(columns), pl.DataFrame(studies)


@pytest.fixture(scope="session")
def particles_of():
    """Tables of particles and of their studies, made as `make_particles` makes them."""
    return make_particles


@pytest.fixture(scope="session")
def nano_table():
    """Fifty-two particles, of which four are incomplete, as a frame."""
    return make_particles(52, seed=3, incomplete=4)[0]


@pytest.fixture(scope="session")
def nano_studies():
    """Their studies, as a frame."""
    return make_particles(52, seed=3, incomplete=4)[1]


@pytest.fixture(scope="session")
def nano_settings():
    """An ensemble that is fitted in a second; from here on forests have few trees."""
    from latentpk.inference import members
    from latentpk.inference.ensemble import EnsembleSettings
    from latentpk.inference.regression import RegressionSettings

    training = RegressionSettings(steps=30)
    small = members.MemberSettings(networks=1, width=4, training=training)
    boost = members.BoostSettings
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(members, "TREES", 20)
        patch.setattr(members, "BoostSettings", lambda **own: boost(**own | {"rounds": 30}))
        yield EnsembleSettings(folds=3, members=small)


@pytest.fixture(scope="session")
def nano_model(nano_table, nano_studies, nano_settings):
    """A model of those particles; never change it."""
    from latentpk import NanoModel

    return NanoModel.fit(nano_table, studies=nano_studies, settings=nano_settings)


@pytest.fixture(scope="session")
def nano_folder(nano_model, tmp_path_factory):
    """That model on disk; never change it."""
    folder = tmp_path_factory.mktemp("models") / "nano.model"
    nano_model.save(folder)
    return folder


@pytest.fixture(scope="session")
def nano_rows(nano_table, nano_studies):
    """Those particles as an ensemble is fitted to them."""
    from latentpk.workflows.nano.table import read_library, training_rows

    return training_rows(read_library(nano_table, studies=nano_studies))[0]


@pytest.fixture(scope="session")
def nano_fit(nano_rows, nano_settings):
    """The ensemble fitted to them, and what its members predicted out of fold."""
    from latentpk.inference.ensemble import fit_ensemble

    return fit_ensemble(nano_rows, nano_settings, seed=0)


@pytest.fixture(scope="session")
def nano_courses(nano_table):
    """Three measurements of each particle but the last two, 30 % around the PBPK model's course."""
    import jax.numpy as jnp

    from latentpk.kinetics.mouse import Tumor, follow

    rng, rows = np.random.default_rng(8), []
    for own in nano_table.head(50).iter_rows(named=True):
        tumor = Tumor(
            own["QTC"], own["VTC"], own["BVT"], own["PT"], own["PATC"], own["KTRESrelease"],
            own["KTRESmax"], own["KTRES50"], own["KTRESn"],
        )  # fmt: skip
        times = np.array([0.5, 4.0, 24.0]) * rng.uniform(0.8, 1.25)
        found = np.asarray(follow(tumor, own["BW"] / 1000, jnp.asarray(times)).tissue("tumor"))
        noisy = np.minimum(found * np.exp(0.3 * rng.standard_normal(3)), 100.0)
        rows += [(own["ID"], t, y) for t, y in zip(times, noisy, strict=True)]
    return pl.DataFrame(rows, schema=["ID", "TIME", "TUMOR"], orient="row")


@pytest.fixture(scope="session")
def few_points():
    """From here on particles have few points."""
    from latentpk.inference import tumor_bank

    small = {"FIRST": 64, "SECOND": 48, "REACH": (0.9,), "CENTRES": 24, "ENOUGH": 8.0}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in small.items():
            patch.setattr(tumor_bank, name, value)
        yield


@pytest.fixture(scope="session")
def nano_joined(nano_table, nano_courses, nano_studies, nano_settings, few_points):
    """A model of those particles that a latent model joins; never change it."""
    from latentpk import NanoModel
    from latentpk.inference.tumor_training import TumorSettings

    tumor = TumorSettings(folds=3, width=4, steps=25, decays=(0.03,))
    settings = nano_settings.model_copy(update={"tumor": tumor})
    return NanoModel.fit(
        nano_table, timecourse=nano_courses, studies=nano_studies, settings=settings
    )
