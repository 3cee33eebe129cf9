"""Tables to validated subjects: NONMEM semantics, units at the door, every problem in one error."""

from latentpk.records.nonmem import read_nonmem
from latentpk.records.subject import Cohort, DoseTable, LevelTable, OutputTable, Subject

__all__ = ["Cohort", "DoseTable", "LevelTable", "OutputTable", "Subject", "read_nonmem"]
