"""Ids that begin with a hyphen, which a command line takes for options."""

from collections.abc import Sequence

from cyclopts import App

COMMANDS = ("recommend", "similar", "explain", "lookup")
TEXTS = ("--user", "--item", "--items")


def ids_kept(app: App, words: Sequence[str]) -> list[str]:
    """The words with each id that begins with a hyphen written so that it is taken as one.

    A word after `--user`, `--item` or `--items` is their value, unless it is an option of the
    command, or nearly one. A word elsewhere is an id where the command takes one, and the word has
    a single hyphen and is no option. What stands after `--` is left alone.

    Args:
        app: Knows the options of the command.
        words: The command and what follows it.
    """
    if not words or words[0] not in COMMANDS:
        return list(words)
    command = app[words[0]]
    arguments = command.assemble_argument_collection()
    takes_id = any(name.isalpha() for each in arguments for name in each.names)
    options = {name for each in arguments for name in each.names if name.startswith("-")}
    valued = {name for each in arguments for name in each.names if each.token_count()[0]}
    options |= {*command.help_flags, *command.version_flags}
    end = words.index("--") if "--" in words else len(words)
    kept: list[str] = []
    ids: list[str] = []
    for word in words[:end]:
        before = kept[-1] if kept else ""
        if before in TEXTS and _is_id(word, options):
            kept[-1] = f"{before}={word}"
        elif takes_id and before not in valued and _is_short(word) and word not in options:
            ids.append(word)
        else:
            kept.append(word)
    after = list(words[end + 1 :])
    return [*kept, "--", *ids, *after] if ids or end < len(words) else kept


def _is_id(word: str, options: set[str]) -> bool:
    if not word.startswith("-") or word.partition("=")[0] in options:
        return False
    from recsys.settings import hint  # loads pydantic, which help does without

    return _is_short(word) or not hint(word.partition("=")[0], options)


def _is_short(word: str) -> bool:
    return word.startswith("-") and not word.startswith("--")
