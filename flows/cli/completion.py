"""`recsys completion`."""

from typing import Literal

from recsys.errors import InputError

Shell = Literal["bash", "zsh", "fish"]


def completion(shell: Shell, /, *, install: bool = False) -> None:
    """Print or install completion for bash, zsh or fish.

    Example:
        recsys completion bash --install
        recsys completion fish > ~/.config/fish/completions/recsys.fish

    Args:
        shell: Whose.
        install: Write it to the shell's folder, and let its start-up file read it.
    """
    from flows.cli.main import build

    app = build([])
    if not install:
        print(app.generate_completion(shell=shell))
        return
    try:
        path = app.install_completion(shell=shell)
    except OSError as error:
        raise InputError(
            f"{error.filename}: {error.strerror}; set HOME to a folder that you may write, or keep "
            "what is printed without --install"
        ) from error
    print(f"{path}: start a new shell to use it")
