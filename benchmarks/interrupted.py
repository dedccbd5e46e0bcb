"""The commands that `interrupt` strikes: each in its workspace, and what it has to end with."""

import json
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from attempts import STUDY, Lab, log
from kill_retrain import NEEDED as RETRAINING
from kill_retrain import asked_to_retrain, find_packages, write_plays
from same_retraining import Whole, is_done, last_said, lists
from same_retraining import ended as retrained
from same_study import faults

from tasks.workspace.layout import Workspace

NEEDED = (*RETRAINING, "flows.compare", "flows.cli.compare", "flows.cli.study", "flows.cli.publish")
NAMES = ("experiment", "resume", "work", "compare", "retrain", "publish")
COMPARISON = "several"
VARIES = ("seconds", "runs")  # of what `compare --json` says


@dataclass(frozen=True)
class Case:
    """A command.

    Attributes:
        name: Of the command.
        place: The workspace; an address in MLflow's database says that it is here.
        argv: As after `recsys`.
        before: A copy of the workspace as the command finds it; None for none.
        seconds: That it takes, about, in a fork.
        wrong: What is not as it ends with if nothing interrupts it, from what it said at its end
            and whether it had done all before.
        is_done: Whether it has.
    """

    name: str
    place: Workspace
    argv: Sequence[str]
    before: Path | None
    seconds: float = 0.0
    wrong: Callable[[str, bool], Iterator[str]] = lambda said, was_done: iter(())
    is_done: Callable[[Workspace], bool] = lambda place: False

    def again(self) -> None:
        """Everything is as it was before."""
        shutil.rmtree(self.place.root, ignore_errors=True)
        if self.before is not None:
            shutil.copytree(self.before, self.place.root)


Complete = Callable[[Lab, Case], float]


def prepared(lab: Lab, complete: Complete, names: Collection[str]) -> Iterator[Case]:
    """The commands with these names, each of which came to its end once."""
    find_packages()
    work, few = ["study", "work", STUDY], _request(lab, 2)
    resume = ["study", "resume", STUDY, "--trials", str(lab.trials), "--json", "--workspace"]
    other = ["study", "work", "other", *_request(lab, 1), "--workspace"]
    searching: dict[str, tuple[Sequence[str], Sequence[str]]] = {
        "experiment": (_experiment(lab), []),
        "resume": (resume, [*work, *few, "--workspace"]),
        "work": ([*work, *_request(lab, 2 * lab.trials), "--workspace"], other),
    }
    for name, (argv, first) in searching.items():
        if name in names:
            yield _searching(lab, complete, name, argv, first)
    if "compare" in names:
        yield _comparing(lab, complete, other)
    if {"retrain", "publish"} & {*names}:
        yield from (case for case in _serving(lab, complete) if case.name in names)


def _request(lab: Lab, trials: int) -> list[str]:
    config = lab.root / "tpe.toml"
    return ["--plays", str(lab.plays), "--config", str(config), "--trials", str(trials)]


def _experiment(lab: Lab) -> list[str]:
    return ["experiment", "--json", "--study", STUDY, *_request(lab, lab.trials), "--workspace"]


def _case(
    lab: Lab, complete: Complete, name: str, argv: Sequence[str], first: Sequence[str]
) -> Case:
    """A command in its workspace, where another one may come first; both take it as last word."""
    place = lab.workspace(name)
    here = str(place.root)
    before = None
    if first:
        complete(lab, Case(name, place, [*first, here], None))
        before = Path(shutil.copytree(place.root, lab.root / f"{name}-before"))
    case = Case(name, place, [*argv, here], before)
    return replace(case, seconds=complete(lab, case))


def _kept(lab: Lab, case: Case) -> Workspace:
    """A copy of the workspace as the command left it."""
    return Workspace.at(Path(shutil.copytree(case.place.root, lab.root / f"{case.name}-whole")))


def _searching(
    lab: Lab, complete: Complete, name: str, argv: Sequence[str], first: Sequence[str]
) -> Case:
    case = _case(lab, complete, name, argv, first)
    whole = _kept(lab, case)

    def wrong(said: str, was_done: bool) -> Iterator[str]:
        for kind, text in faults(case.place, whole, STUDY):
            yield f"{kind}: {text}"

    return replace(case, wrong=wrong)


def _comparing(lab: Lab, complete: Complete, first: Sequence[str]) -> Case:
    options = ["--models", "popularity-plays,als", "--seeds", "1", "--name", COMPARISON]
    argv = ["compare", "--json", *options, *_request(lab, 2), "--workspace"]
    case = _case(lab, complete, "compare", argv, first)
    whole, expected = _kept(lab, case), _steady(last_said(log(case.place)))

    def wrong(said: str, was_done: bool) -> Iterator[str]:
        if (found := _steady(_said(said))) != expected:
            odd = sorted(name for name in expected if found.get(name) != expected[name])
            yield f"{', '.join(odd)} of the comparison"
        for model in ("popularity-plays", "als"):
            for kind, text in faults(case.place, whole, f"{COMPARISON}-{model}-0"):
                yield f"{kind}: {model}: {text}"

    return replace(case, wrong=wrong)


def _steady(said: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if name not in VARIES}


def _said(text: str) -> Mapping[str, Any]:
    """The last JSON object among lines."""
    found: Mapping[str, Any] = json.loads([x for x in text.splitlines() if x.startswith("{")][-1])
    return found


def _serving(lab: Lab, complete: Complete) -> Iterator[Case]:
    """A retraining where a model serves and is published, and a publication."""
    older, newer, config = write_plays(lab)
    place = lab.workspace("retrain")
    complete(lab, Case("retrain", place, asked_to_retrain(place, older, config), None))
    publish = ["publish", "--k", "5", "--workspace", str(place.root)]
    complete(lab, Case("publish", place, publish, None))
    before = Path(shutil.copytree(place.root, lab.root / "retrain-before"))
    case = Case("retrain", place, asked_to_retrain(place, newer, config), before)
    old, old_lists = lists(place)
    seconds = complete(lab, case)
    said = last_said(log(place))
    new, new_lists = lists(place)
    whole = Whole(_kept(lab, case), said, {old: old_lists, new: new_lists}, new)

    def wrong(said: str, was_done: bool) -> Iterator[str]:
        for kind, text in retrained(place, whole, _said(said), was_done):
            yield f"{kind}: {text}"

    yield replace(case, seconds=seconds, wrong=wrong, is_done=is_done)
    yield _publishing(lab, complete, before)


def _publishing(lab: Lab, complete: Complete, served: Path) -> Case:
    """A champion that is published anew, with longer lists."""
    place = lab.workspace("publish")
    argv = ["publish", "--again", "--k", "9", "--workspace", str(place.root)]
    case = Case("publish", place, argv, served)
    case.again()
    complete(lab, replace(case, argv=["models", "--workspace", str(place.root)]))  # it has moved
    before = Path(shutil.copytree(place.root, lab.root / "publish-before"))
    case = replace(case, before=before)
    case = replace(case, seconds=complete(lab, case))
    expected = lists(place)

    def wrong(said: str, was_done: bool) -> Iterator[str]:
        if lists(place) != expected:
            yield "other lists are published"

    return replace(case, wrong=wrong)
