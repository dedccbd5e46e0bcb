"""The command line: which commands there are, and how one ends.

A command is a function whose signature is its list of options. Its file is imported when the
command is given, and what is heavy inside the function, so that help comes at once.
"""

import gc
import importlib
import inspect
import platform
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from io import TextIOWrapper
from typing import Any, TextIO

from cyclopts import App, Group, Parameter
from cyclopts.exceptions import CycloptsError

from flows.cli import outside, session
from flows.cli.failing import report_bugs, sentence
from flows.cli.hyphens import ids_kept
from recsys.errors import InputError, LeftOutWarning, MovedWarning, TrialsFailed
from recsys.renames import RenamedWarning
from tasks.interrupts import CODE as INTERRUPTED
from tasks.interrupts import INTERRUPTS

COLLECT = (10_000, 10, 10)
"""Python's usual 700 new objects let it look for garbage in a seventh of the time of a start."""
OLD_OPTIONS = {"--artists": "--items", "--artist": "--item", "--artist-key": "--item-key"}
STACK = ("prefect", "mlflow", "optuna", "implicit", "numpy", "scipy", "pandas", "pyarrow")
PANELS = [
    Group(name, sort_key=place)
    for place, name in enumerate(
        ("Data", "Experiments", "Answers", "Models that serve", "Workspace", "This program")
    )
]
DATA, EXPERIMENTS, ANSWERS, SERVING, WORKSPACE, PROGRAM = PANELS


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """A command, listed without its file being imported.

    Attributes:
        name: As it is typed.
        module: In `flows.cli`.
        function: Of the module.
        line: First line of the function's docstring.
        panel: Where the help lists it.
    """

    name: str
    module: str
    function: str
    line: str
    panel: Group

    @property
    def place(self) -> str:
        """The function, as cyclopts imports it."""
        return f"flows.cli.{self.module}:{self.function}"

    def load(self) -> Callable[..., None]:
        """The function, its file imported."""
        module = importlib.import_module(f"flows.cli.{self.module}")
        function: Callable[..., None] = getattr(module, self.function)
        return function


def _listed(panel: Group, module: str, prefix: str = "", **lines: str) -> list[CommandSpec]:
    """The commands of a file; each function has its command's name."""
    return [
        CommandSpec(name.replace("_", "-"), module, prefix + name, line, panel)
        for name, line in lines.items()
    ]


COMMANDS = [
    *_listed(
        DATA,
        "inspect",
        sample="Write invented plays and profiles in the Last.fm 360K format.",
        fetch="Download a public data set; the same command resumes.",
        inspect="Show the numbers of a log and plot its distributions.",
    ),
    *_listed(
        EXPERIMENTS,
        "experiment",
        experiment="Read, filter, split, search, judge, compare and track.",
    ),
    *_listed(
        EXPERIMENTS,
        "compare",
        compare="Tune many models alike, judge each once on test, over several splits.",
    ),
    *_listed(
        EXPERIMENTS,
        "bench",
        bench="Run a published protocol: our rows with intervals beside the published rows.",
    ),
    *_listed(
        EXPERIMENTS,
        "diff",
        diff="Show how runs differ: in parameters, metrics, users who gain and items shown.",
    ),
    *_listed(
        EXPERIMENTS,
        "report",
        report="Write what a study or a comparison found as one HTML file.",
    ),
    *_listed(
        ANSWERS,
        "ask",
        recommend="Recommend items to a user.",
        user="Show a user: profile, history, recommended items and what they follow from.",
        similar="Show the items most similar to one.",
        explain="Show which items of a history carry a recommendation.",
    ),
    *_listed(
        ANSWERS,
        "lookup",
        lookup="Show what `recsys publish` wrote for a user, or for an item.",
    ),
    *_listed(
        SERVING,
        "registry",
        register="Put a final model into MLflow's registry, fitted on all its data.",
        promote="Make a model the champion, which serves, and the champion the previous one.",
        rollback="Make the previous champion serve again; once more takes it back.",
        models="List every version of the registered model, and which one serves.",
    ),
    *_listed(
        SERVING,
        "serve",
        serve="Answer over HTTP with a registered model, for users and histories in no list.",
    ),
    *_listed(
        SERVING,
        "retrain",
        retrain="Train a challenger on new plays; it serves if it passes the gate.",
    ),
    *_listed(
        SERVING,
        "publish",
        publish="Write the lists of all users and items where others read them.",
    ),
    *_listed(
        WORKSPACE,
        "housekeeping",
        clean="Make room: remove what can be made again and was not used for long.",
        ui="Open the pages of MLflow, Prefect or Optuna.",
        serve_flows="Run scheduled and requested flows of Prefect, by itself or in a work pool.",
    ),
    *_listed(
        PROGRAM,
        "completion",
        completion="Print or install completion for bash, zsh or fish.",
    ),
]
STUDY = "List, show, resume, export and delete studies, and join their search."
ACTIONS = _listed(
    EXPERIMENTS,
    "study",
    "study_",
    list="List every study, with its best value.",
    show="Show every trial of a study.",
    resume="Resume an experiment with its stored settings, to its end.",
    work="Join the search of a study, beside other workers, until its trials are done.",
    export="Write the trials of a study as a table.",
    delete="Delete a study, its runs in MLflow and their files; this cannot be undone.",
)

SPLIT = "Write the split of an experiment as files."
CUTS = _listed(
    DATA,
    "split",
    "split_",
    export="Write train, validation and test as Parquet files, as an experiment cuts them.",
)


def build(words: Sequence[str]) -> App:
    """The application; only the file of the command that `words` give is imported."""
    app = App(
        name="recsys",
        help="From a listening log to a tuned, tracked, compared recommender.",
        version=versions,
        group_parameters=Group("Options", sort_key=3),
        help_epilogue="`recsys COMMAND --help` explains a command, with an example.",
        **_STYLE,
    )
    first, second = [*words, "", ""][:2]
    _add(app, COMMANDS, first)
    study = App(name="study", help=STUDY, group=EXPERIMENTS, **_STYLE)
    _add(study, ACTIONS, second if first == "study" else "")
    app.command(study)
    split = App(name="split", help=SPLIT, group=DATA, **_STYLE)
    _add(split, CUTS, second if first == "split" else "")
    app.command(split)
    for flag in ("--help", "--version"):
        app[flag].group = PROGRAM
    return app


def _shown_default(value: object) -> str | None:
    return None if value in (None, False, ()) else str(value)


_STYLE: dict[str, Any] = {
    "default_parameter": Parameter(negative=(), show_default=_shown_default),
    "help_format": "plaintext",
    "exit_on_error": False,
    "print_error": False,
    "result_action": "return_value",
    "suppress_keyboard_interrupt": False,
}


def _add(app: App, commands: Sequence[CommandSpec], given: str) -> None:
    for command in commands:
        if command.name == given:
            function = command.load()
            text, example = described(function)
            app.command(
                function,
                name=command.name,
                group=command.panel,
                help=text,
                help_epilogue=f"Example:\n{example}",
                **_STYLE,
            )
        else:
            app.command(
                command.place, name=command.name, help=command.line, group=command.panel, **_STYLE
            )


def described(function: Callable[..., Any]) -> tuple[str, str]:
    """The description and the example of a command, from its docstring; paragraphs are lines."""
    text, _, rest = inspect.cleandoc(function.__doc__ or "").partition("\nExample:\n")
    paragraphs = [" ".join(each.split()) for each in text.split("\n\n")]
    lines = re.match(r"(    .*\n?)*", rest)
    return "\n\n".join(paragraphs), (lines[0] if lines else "").rstrip()


def versions() -> str:
    """The versions of recsys, of Python and of the libraries that results depend on."""
    names = ["recsys", "python", *STACK]
    numbers = {"python": platform.python_version()}
    return "\n".join(f"{name:<9} {numbers.get(name) or version(name)}" for name in names)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `recsys`; returns the exit code, which is 0 where all went well."""
    warnings.showwarning = _show_warning
    gc.set_threshold(*COLLECT)
    outside.open_standard_streams()
    outside.allow_open_files()
    report_bugs(session.TYPED, versions)
    session.OPENED.clear()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # names that a terminal cannot show are escaped
            stream.reconfigure(errors="backslashreplace")
    with INTERRUPTS.listening(session.say):
        try:
            INTERRUPTS.begin()
            words = _under_new_options(sys.argv[1:] if argv is None else argv)
            session.TYPED[:] = words
            code = _ended(words)
            INTERRUPTS.check()
            INTERRUPTS.stop()
        except BaseException as error:
            INTERRUPTS.stop()
            if not INTERRUPTS.came and not isinstance(error, KeyboardInterrupt):
                raise
            code = INTERRUPTED  # whatever the signal became on its way
        if code != INTERRUPTED and not INTERRUPTS.came:
            return code
        session.say("interrupted")
        return INTERRUPTED


def _ended(words: Sequence[str]) -> int:
    """The exit code of a command that has ended; errors of the outside world are a line."""
    try:
        outside.check_words(words)
        app = build(words)
        app(ids_kept(app, words))
        sys.stdout.flush()  # here what is wrong with it can still be said
    except CycloptsError as error:
        from flows.cli.words import in_words

        listed = {"study": ACTIONS, "split": CUTS}.get([*words, ""][0], COMMANDS)
        groups = ["study", "split"] if listed is COMMANDS else []
        names = [*(each.name for each in listed), *groups]
        session.say(in_words(error, names))
        return 2
    except InputError as error:
        session.say(str(error))
        return 1 if isinstance(error, TrialsFailed) else 2
    except Exception as error:
        if isinstance(error, BrokenPipeError) and outside.is_broken(sys.stdout):
            outside.silence(sys.stdout)
            return 1
        text = sentence(error)
        if text is None:
            raise
        session.say(text)
        return 2
    return 0


def _under_new_options(argv: Sequence[str]) -> list[str]:
    """The words with the present names of options, and a warning of each old one."""
    words = list(argv)
    end = words.index("--") if "--" in words else len(words)
    for place, word in enumerate(words[:end]):
        name, equals, value = word.partition("=")
        if new := OLD_OPTIONS.get(name):
            words[place] = f"{new}{equals}{value}"
            print(f"recsys: {name} is now called {new}; the old name still works", file=sys.stderr)
    return words


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning of ours as one line of the command; others as Python shows them."""
    if issubclass(category, RenamedWarning | MovedWarning | LeftOutWarning):
        print(f"recsys: {message}", file=sys.stderr)
    else:
        print(
            warnings.formatwarning(message, category, filename, lineno, line),
            end="",
            file=sys.stderr,
        )


if __name__ == "__main__":
    sys.exit(main())
