"""Errors that a user can act on; the command line prints them as one message, without a traceback."""


class UserError(Exception):
    """Something outside the code is wrong; the message names it and says what to do."""


class ConfigError(UserError):
    """A configuration file has a value that cannot be used."""


class DataError(UserError):
    """A file of data or results is missing, damaged, or not what it should be."""


class StoppedError(UserError):
    """A job was asked to stop, by a signal or its time limit, and saved its state first."""
