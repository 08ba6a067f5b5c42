"""Errors written for the person who reads them: what was given, what is allowed, what to do."""


class HeartlibError(ValueError):
    """Something the person can act on; its text is one line. The CLI exits with `exit_status`."""

    exit_status = 1


class UsageError(HeartlibError):
    """A value the person gave is not allowed."""

    exit_status = 2


class CheckpointError(HeartlibError):
    """A checkpoint is missing, damaged or of another kind; the text names file and tensor."""
