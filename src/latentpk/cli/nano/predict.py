"""`latentpk nano predict`: particles' tumor pharmacokinetics from their properties."""

from latentpk.cli.console import check_output, reported, start
from latentpk.cli.nano.asking import Places, model_and_table, open_asked, tell_notices
from latentpk.cli.nano.options import NanoUnits
from latentpk.cli.options import OutFile, Quiet, Seed, Threads

VERDICTS = ("ok", "caution", "refuse")


@reported
def predict(
    places: Places,
    out: OutFile,
    seed: Seed = 0,
    threads: Threads = 1,
    units: NanoUnits = None,
    quiet: Quiet = False,
) -> None:
    """Predict every particle of a table.

    One row each: of KTRESmax, KTRES50, KTRESn, KTRESrelease, DE24, DE168, DEmax the median and
    the ends of the 90 % interval (_LO, _HI), then VERDICT and REASON. refuse: a property lies far
    outside what the model was trained on, and the numbers are extrapolation. Nothing here draws
    at random: --seed changes nothing.
    """
    model_folder, table = model_and_table(places, "predict")
    check_output(out, table)
    console = start(quiet=quiet, threads=threads)
    from latentpk.records.particles import read_particles
    from latentpk.report.table import csv_text
    from latentpk.storage import write_file
    from latentpk.workflows.nano.table import check_units

    check_units(units)
    particles = read_particles(table)
    model = open_asked(model_folder)
    found = model.predict(particles)
    write_file(out, csv_text(found))
    counts = dict(found["VERDICT"].value_counts().iter_rows())
    told = ", ".join(f"{counts.get(verdict, 0)} {verdict}" for verdict in VERDICTS)
    console.say(f"{table}: {len(found)} particle{'s' * (len(found) != 1)}: {told}")
    tell_notices(console, particles.notices)
    for name, count in model.unknown(particles).items():
        console.say(f"  {name} is not known of {count}; the model was trained with it")
    console.say(str(out))
