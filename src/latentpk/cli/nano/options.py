"""The options that verbs of nanoparticles share, as types."""

from pathlib import Path
from typing import Annotated

import typer

Table = Annotated[
    Path,
    typer.Argument(
        metavar="TABLE.csv",
        help="Particles, one a row: ID, Type, TS, HD, Zeta, Charge, Shape, TM, CT, TSz or TW, "
        "Dose, BW, with the four KTRES parameters to fit to.",
        show_default=False,
    ),
]
StudiesFile = Annotated[
    Path | None,
    typer.Option(
        "--studies",
        metavar="S.csv",
        help="Where the particles come from: ID, STUDY_ID and, as further inputs, MAT (core "
        "material) and ZP_SIGNED (zeta potential with its sign).",
        show_default=False,
    ),
]
TimecourseFile = Annotated[
    Path | None,
    typer.Option(
        "--timecourse",
        metavar="TC.csv",
        help="What was measured in tumors: ID, TIME (h), TUMOR (%ID). The latent model learns from "
        "it: delivery on unseen studies, courses, and updates by early measurements.",
        show_default=False,
    ),
]
NanoUnits = Annotated[
    str | None,
    typer.Option(
        "--units",
        metavar="TEXT",
        help="Units of the table's columns, such as HD=nm,DOSE=mg/kg. They are checked: a table "
        "of particles is in nm, mV, cm3, g, mg/kg, h, %ID.",
        show_default=False,
        rich_help_panel="Every verb",
    ),
]
