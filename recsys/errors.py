"""What a user can do something about, or is to know."""


class InputError(ValueError):
    """A file, an option or a setting that cannot be used.

    The message is one sentence: the fault, the value, its place (file and line for data) and the
    remedy. The command line prints it without a traceback and exits with code 2; any other
    exception is a bug.
    """


class MovedWarning(UserWarning):
    """A workspace was copied or moved, and is changed for it."""


class LeftOutWarning(UserWarning):
    """Something in a folder is not read."""


class TrialsFailed(InputError):
    """The trials of a search failed; the message has their errors. The exit code is 1."""


class NeedsMemory(InputError):
    """A training does not fit into the memory."""


class NoRows(InputError):
    """A file without rows. One of several files of a log may be so."""
