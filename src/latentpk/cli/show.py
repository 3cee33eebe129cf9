"""`latentpk show`: the card of a trained or published model."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from latentpk.cli.console import reported, start
from latentpk.cli.nano.opening import nano_card
from latentpk.cli.options import Quiet, Seed, Threads, UnitsText
from latentpk.errors import ArtifactError, InputError


@reported
def show(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A model folder, or a published model.", show_default=False
        ),
    ],
    seed: Seed = 0,
    threads: Threads = 1,
    units: UnitsText = None,
    quiet: Quiet = False,
) -> None:
    """Print a model's card: data, covariates, decoder, training, versions and hashes.

    A card has no random draws and names the units it was made with: --seed changes nothing here,
    and --units is checked but converts nothing.
    """
    console = start(quiet=quiet, threads=threads, compiles=False)
    from latentpk.library.catalog import open_model
    from latentpk.units import parse_units

    parse_units(units)
    try:
        opened = open_model(model, load=_load, general=_general)
    except ArtifactError as error:
        raise InputError(str(error)) from error
    if not console.quiet:
        print_card(model, _card(opened))


def _card(model: Any) -> Mapping[str, Any]:
    from latentpk.library.card import LibraryModel

    if isinstance(model, LibraryModel):
        return published_card(model)
    from latentpk.workflows.general.model import General

    if isinstance(model, General):
        return model.card
    return nano_card(model.card) if isinstance(model.card, Mapping) else model.card()


def published_card(model: Any) -> dict[str, Any]:
    """Arrange a published model's card for print."""
    covariates = [
        {
            "name": covariate.name,
            "unit": covariate.unit,
            "definition": covariate.definition,
            "caution outside": "{:g} to {:g}".format(*covariate.soft),
            "refused outside": "{:g} to {:g}".format(*covariate.hard),
        }
        for covariate in model.covariates
    ]
    source = model.source.model_dump()
    source["encoded_in"] = [" ".join(filter(None, e.values())) for e in source["encoded_in"]]
    about = {"drug": model.drug, "summary": model.summary, "molar mass [g/mol]": model.molar_mass}
    about |= {"salt factor": model.salt_factor if model.salt_factor != 1 else None}
    computed = model.renal_definition and model.renal_definition.plain.describe()
    about |= {"renal function": model.renal, "--renal card": computed, "weight": model.weight}
    return {
        "model": {name: value for name, value in about.items() if value is not None},
        "source": source,
        f"population, {model.population.structure}": model.formulas(),
        "covariates": covariates,
        "notes": model.notes,
    }


def print_card(title: str, card: Mapping[str, Any]) -> None:
    """Print a card: a table for each section, a grid where a section is a list of records."""
    from rich.console import Console as Rich
    from rich.table import Table

    rich = Rich()
    rich.print(f"[bold]{_plain(title)}[/bold]")
    loose = {name: value for name, value in card.items() if not _is_section(value)}
    sections = ({"": loose} if loose else {}) | {k: v for k, v in card.items() if _is_section(v)}
    for name, section in sections.items():
        if not section:
            continue
        table = Table(title=_plain(name), title_justify="left", title_style="bold", expand=False)
        _fill(table, section)
        rich.print()
        rich.print(table)


def print_list(title: str, records: Sequence[Mapping[str, Any]]) -> None:
    """Print records one under another: its name in full, then what else it says."""
    from rich.console import Console as Rich
    from rich.padding import Padding

    rich = Rich()
    rich.print(f"[bold]{_plain(title)}[/bold]")
    for record in records:
        name, *others = record.values()
        rich.print(f"\n[bold]{_plain(name)}[/bold]", soft_wrap=True)
        for value in others:
            rich.print(Padding(_plain(value), (0, 0, 0, 4)))


def _fill(table: Any, section: Any) -> None:
    if isinstance(section, Mapping):
        table.show_header = False
        table.add_column()
        table.add_column(overflow="fold")
        for key, value in section.items():
            table.add_row(_plain(key), _plain(value))
    elif isinstance(section[0], Mapping):
        keys = list(dict.fromkeys(key for record in section for key in record))
        for key in keys:
            table.add_column(_plain(key), overflow="fold")
        for record in section:
            table.add_row(*(_plain(record.get(key, "")) for key in keys))
    else:
        table.show_header = False
        table.add_column(overflow="fold")
        for line in section:
            table.add_row(_plain(line))


def _is_section(value: Any) -> bool:
    return isinstance(value, Mapping) or (
        isinstance(value, Sequence) and not isinstance(value, str)
    )


def _plain(value: Any) -> str:
    """One cell as text; brackets are text here, not markup."""
    from rich.markup import escape

    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return "\n".join(f"{escape(str(key))}: {_plain(item)}" for key, item in value.items())
    if _is_section(value):
        return "\n".join(_plain(item) for item in value)
    return escape(str(value))


def _general() -> Any:
    from latentpk.workflows.general.model import shipped_general

    return shipped_general()


def _load(folder: Any) -> Any:
    """A trained or fitted model of patients, or one of nanoparticles."""
    from latentpk.storage import read_kind

    if read_kind(folder) == "nano-model":
        from latentpk.workflows.nano.model import NanoModel

        return NanoModel.load(folder)
    from latentpk.workflows.predictor import load_model

    return load_model(folder)
