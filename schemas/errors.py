"""Errors that a user can meet: their text says what, where and the fix."""

__all__ = ["BadInput", "CheckFailed", "ChronoFactsError", "SchemaMismatch"]


class ChronoFactsError(Exception):
    """Any error a user can act on; the command line prints its text alone, without a traceback."""

    exit_code = 1


class BadInput(ChronoFactsError):
    """Wrong use: an option, a date, a file or a folder is not what the command takes."""

    exit_code = 2


class CheckFailed(ChronoFactsError):
    """The data was read, and a check found it wrong (a checksum, an invariant)."""


class SchemaMismatch(CheckFailed):
    """A table lacks a column, or a column has another type than `schemas.tables` declares."""
