"""The one error a person at the terminal can do something about."""


class InputError(ValueError):
    """A file, an option or a setting that cannot be used.

    The message is one sentence that names what is wrong, the value, where it stands (file and
    line for data) and what to do. The command line prints it without a traceback and exits
    with code 2; anything else that is raised is a fault of ours.
    """
