"""Public data sets that the package can get: where they are, their licences, how to check them.

No data set is part of the package. Each file of one is known by the SHA-256 of its content, so that
a copy on disk and a download are held to the same bytes.
"""

from dataclasses import dataclass
from difflib import get_close_matches

from latentpk.errors import InputError, Problem

CHOU = (
    "Chou W-C, Chen Q, Yuan L, et al. An artificial intelligence-assisted physiologically-based "
    "pharmacokinetic model to predict nanoparticle delivery to tumors in mice. "
    "J Control Release 2023;361:53-63"
)
_G1 = (
    "https://raw.githubusercontent.com/UFPBPK/Nano-AI-PBPK-G1/"
    "28471109082070ff0c0fe44d1d021550cd978e64/"
)
_ML = (
    "https://raw.githubusercontent.com/UFPBPK/Nano-ML-AI/59928a6223654f91f4a14a7942755f04184c2434/"
)


@dataclass(frozen=True)
class DataFile:
    """One table of a data set.

    The file's content is canonical: a header line, rows sorted by ID, then by TIME where there is
    one; ID a whole number, every other number the shortest text that gives its 64-bit float, text
    without space around it, a missing cell empty; commas between cells, a line feed after a line.

    Attributes:
        name: Of the file.
        what: What its rows are.
        columns: Its header, in the published order.
        sha256: Of the file.
        licence: Of the source, as it states it.
        source: Address of what it is made from, pinned to a commit.
        workbook: Whether `source` is a workbook that can be turned into this file; one that is not
            can only be copied.
        by_position: Whether the workbook's columns are taken as they stand, whatever their names.
    """

    name: str
    what: str
    columns: tuple[str, ...]
    sha256: str
    licence: str
    source: str
    workbook: bool = True
    by_position: bool = False


@dataclass(frozen=True)
class DataSet:
    """A data set: what it is and whom to cite.

    Attributes:
        name: How it is asked for.
        title: What it is.
        citation: Whom to cite.
        folder: Where it lies in the folder that LATENTPK_DATA names.
        files: Its tables.
    """

    name: str
    title: str
    citation: str
    folder: str
    files: tuple[DataFile, ...]

    @property
    def licences(self) -> str:
        """Licences of its files."""
        return ", ".join(dict.fromkeys(file.licence for file in self.files))


_DATASETS = (
    DataSet(
        "nano-tumor",
        "Nanoparticles in tumor-bearing mice: properties, fitted uptake, delivery and courses",
        CHOU,
        "nano",
        (
            DataFile(
                "nano_tumor.csv",
                "378 particles: properties, mouse, delivery and fitted parameters",
                (
                    "ID", "Type", "TS", "HD", "Zeta", "Charge", "Shape", "TM", "CT", "TSz", "TW",
                    "Dose", "BW", "DE24", "DE168", "Demax", "KTRESrelease", "KTRESmax", "KTRES50",
                    "KTRESn", "QTC", "VTC", "BVT", "PT", "PATC",
                ),
                "76be1fb14412e0274ae1927232e12a4e1c3c8c77b3ed953ea06951c2883045fc",
                "CC0-1.0",
                _G1 + "Model_dataset.xlsx",
            ),
            DataFile(
                "nano_tumor_timecourse.csv",
                "1722 measurements in the tumor, %ID and %ID/g",
                ("ID", "TIME", "Tumor", "Tumor_g"),
                "49f0bdbe5e8fc6e4db123d115885e34945b249c37340cef3a04b0b2b68e0004b",
                "CC0-1.0",
                _G1 + "Time-course%20pharmacokinetics%20data.xlsx",
                by_position=True,  # as the authors' own script takes them
            ),
            DataFile(
                "nano_tumor_studies.csv",
                "study, core material and signed zeta potential of each particle",
                ("ID", "study_id", "study_match", "MAT", "ZP_signed"),
                "f6c070e556d51c9660c217df5817ca56ceef820b4f58d6014fa0b38725928517",
                "GPL-3.0",
                _ML + "data.csv",
                workbook=False,
            ),
        ),
    ),
)  # fmt: skip


def list_datasets() -> tuple[DataSet, ...]:
    """List the data sets.

    Example:
        >>> [one.name for one in list_datasets()]
        ['nano-tumor']
    """
    return _DATASETS


def find_dataset(name: str) -> DataSet:
    """Find a data set by name.

    Args:
        name: A name of `list_datasets()`.

    Raises:
        InputError: No data set has this name.

    Example:
        >>> find_dataset("nano-tumor").licences
        'CC0-1.0, GPL-3.0'
    """
    known = {one.name: one for one in list_datasets()}
    if name in known:
        return known[name]
    near = get_close_matches(name.lower().replace("_", "-"), known, n=1, cutoff=0.5)
    rule = "A data set has a name that `latentpk data` lists"
    mend = f"Did you mean {near[0]}" if near else f"Name one of {', '.join(known)}"
    raise InputError([Problem(f"data set {name!r}", "there is none", rule, mend)])
