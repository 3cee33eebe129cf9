"""`latentpk nano`: fit, predict, course, evaluate, explain, design."""

import typer

from latentpk.cli.nano.course import course
from latentpk.cli.nano.design import design
from latentpk.cli.nano.evaluate import evaluate
from latentpk.cli.nano.explain import explain
from latentpk.cli.nano.fit import fit
from latentpk.cli.nano.predict import predict

nano = typer.Typer(
    name="nano",
    help="Nanoparticles: tumor pharmacokinetics from a particle's properties.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

FIT = (
    "latentpk nano fit particles.csv --timecourse courses.csv --studies studies.csv "
    "--out ours.model"
)
PREDICT = (
    "latentpk nano predict particles.csv --out predicted.csv; "
    "latentpk nano predict ours.model particles.csv --out predicted.csv"
)
COURSE = (
    "latentpk nano course particles.csv --observed early.csv --times 0:168:1 --out course.csv "
    "--plots plots"
)
EVALUATE = (
    "latentpk nano evaluate particles.csv --studies studies.csv --folds study --out results.json; "
    "latentpk nano evaluate --model ours.model --test others.csv --out results.json"
)
EXPLAIN = (
    "latentpk nano explain particles.csv --studies studies.csv --out explain.json --plots plots; "
    "latentpk nano explain ours.model particles.csv --out explain.json"
)
DESIGN = (
    "latentpk nano design particles.csv --out design.json --size 10:200:10 "
    "--charge negative,neutral --shape all --plots plots"
)

nano.command(epilog=f"Example: {FIT}")(fit)
nano.command(epilog=f"Example: {PREDICT}")(predict)
nano.command(epilog=f"Example: {COURSE}")(course)
nano.command(epilog=f"Example: {EVALUATE}")(evaluate)
nano.command(epilog=f"Example: {EXPLAIN}")(explain)
nano.command(epilog=f"Example: {DESIGN}")(design)
