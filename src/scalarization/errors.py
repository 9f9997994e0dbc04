"""Errors that a user can act on; the command line prints them as one message, without a traceback."""

from pathlib import Path

#: What to do about a file of results that is not what its name says, while its checksum and its origin are right.
DELETE_IT = "delete it and run snakemake again"


class UserError(Exception):
    """Something outside the code is wrong; the message names it and says what to do."""


class ConfigError(UserError):
    """A configuration file has a value that cannot be used."""


class DataError(UserError):
    """A file of data or results is missing, damaged, or not what it should be."""


class MissingError(DataError):
    """A file is not there, or not yet."""


class DamagedError(DataError):
    """A file is there, but it is damaged, it is another than its name says, or it cannot be read.

    Args:
        file: The file.
        reason: What is wrong with it.
        way_out: What to do about it.
    """

    def __init__(self, file: Path, reason: str, way_out: str) -> None:
        super().__init__(file, reason, way_out)  # Ray pickles errors of its workers by these arguments
        self.file, self.reason, self.way_out = file, reason, way_out

    def __str__(self) -> str:
        return f"{self.file}: {self.reason}; {self.way_out}"


class StoppedError(UserError):
    """A job was asked to stop, by a signal or its time limit, and saved its state first."""


def not_written(file: Path, error: OSError) -> DataError:
    """The error that the file system refuses a file (full, read-only, over quota), ready to be raised."""
    return DataError(f"{file}: could not be written: {error}. Make room or check permissions, then run again")
