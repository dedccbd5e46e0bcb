"""Errors of the command line in one line: the option, the value, what is allowed."""

from typing import Any, get_args, get_origin

from cyclopts import exceptions
from cyclopts.argument import Argument

from flows.cli.hyphens import TEXTS
from recsys.settings import hint

_NUMBERS = {int: "a whole number", float: "a number"}


def in_words(error: exceptions.CycloptsError, commands: list[str]) -> str:
    """What is wrong with a command line, and the nearest right word.

    Args:
        error: What cyclopts found.
        commands: Every command that could stand where an unknown one does.
    """
    command = " ".join(["recsys", *(error.command_chain or ())])
    match error:
        case exceptions.UnknownCommandError(unused_tokens=[word, *_]):
            return f"no command {word}{hint(word, commands)}; `{command} --help` lists them"
        case exceptions.UnknownOptionError():
            word = error.token.keyword or error.token.value
            options = [name for each in error.argument_collection for name in each.names]
            meant = hint(word, options)
            if word in options:
                return f"{word}: options stand before --; what follows it is an id"
            # A text that begins with hyphens is given so.
            id_form = f"; an id that begins so: `{command} -- {word}`" * _takes_id(error)
            return f"{word}: no such option{meant}; `{command} --help` lists them{id_form}"
        case exceptions.ValidationError(argument=Argument() as argument):
            return f"{_typed(argument)}: {error.exception_message}"
        case exceptions.MissingArgumentError(argument=Argument() as argument):
            name = error.keyword or argument.name
            lacks = f"{name}: give a value" if error.keyword else f"{name} is missing"
            if error.keyword in TEXTS:
                lacks += f" ({name}=VALUE where it begins with --)"
            return f"{lacks}; `{command} --help` explains it"
        case exceptions.CoercionError(token=token) if token is not None:
            return f"{token.keyword or _name(error)} {token.value}: {_allowed(error)}"
        case exceptions.RepeatArgumentError():
            return f"{error.token.keyword}: give it once"
        case exceptions.UnusedCliTokensError(unused_tokens=[word, *_]):
            return f"{word}: one too many; `{command} --help` shows what is taken"
    return " ".join(str(error).split())


def _takes_id(error: exceptions.UnknownOptionError) -> bool:
    """Whether the command takes an id without an option before it."""
    chain = error.command_chain or ()
    return chain[-1:] in (("lookup",), ("similar",))


def _typed(argument: Argument) -> str:
    """An option and its value as they were typed."""
    token = argument.tokens[-1]
    return f"{token.keyword or argument.name.lstrip('-').upper()} {token.value}"


def _name(error: exceptions.CycloptsError) -> str:
    return error.argument.name if error.argument is not None else "value"


def _allowed(error: exceptions.CoercionError) -> str:
    assert error.token is not None  # asked for by the caller
    kind: Any = error.target_type
    if get_origin(kind) is not None and all(isinstance(each, str) for each in get_args(kind)):
        choices = [str(each) for each in get_args(kind)]
        return f"use one of {', '.join(choices)}{hint(error.token.value, choices)}"
    return f"use {_NUMBERS.get(kind, 'another value')}"
