"""What an experiment knows at its end and a later report could not find out."""

import json
import platform
import resource
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any, Self

from recsys.evaluation.bootstrap import Estimate
from tasks.study.choosing import SearchWinner
from tasks.tracking.runs import Run
from tasks.workspace.scratch import copies, scratch

FILE = "facts.json"
FOLDER = "report"
LIBRARIES = ("recsys", "implicit", "mlflow", "numba", "numpy", "optuna", "prefect", "scipy")


@dataclass(frozen=True, slots=True)
class EndFacts:
    """The end of an experiment, or of a comparison.

    Attributes:
        finals: Model to the id of its final run.
        ranked: Slot of a trial to its estimate and whether it is tied with the best.
        finalists: Slot of a finalist to its mean over all validation cuts, the best first.
        cuts: Validation cuts that finalists were judged on.
        seconds: By part.
        memory: Bytes at the peak of the process.
        versions: Of the libraries.
        commands: Of a comparison: what each does, to be typed.
        settings: Of a comparison: the file that the first command reads.
    """

    finals: Mapping[str, str] = field(default_factory=dict)
    ranked: Mapping[int, tuple[Estimate, bool]] = field(default_factory=dict)
    finalists: Mapping[int, Estimate] = field(default_factory=dict)
    cuts: int = 1
    seconds: Mapping[str, float] = field(default_factory=dict)
    memory: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    commands: Mapping[str, str] = field(default_factory=dict)
    settings: str = ""

    @classmethod
    def now(
        cls,
        seconds: Mapping[str, float],
        finals: Mapping[str, str] | None = None,
        chosen: SearchWinner | None = None,
    ) -> Self:
        """Of this process, and of the trials of a search."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        ranked, finalists = ((), ()) if chosen is None else (chosen.ranked, chosen.finalists)
        return cls(
            finals=dict(finals or {}),
            ranked={each.done.slot: (each.estimate, each.tied) for each in ranked},
            finalists={each.done.slot: each.estimate for each in finalists},
            cuts=1 if chosen is None else chosen.cuts,
            seconds=dict(seconds),
            memory=peak if sys.platform == "darwin" else peak * 1024,
            versions={
                "python": platform.python_version(),
                **{name: version(name) for name in LIBRARIES},
            },
        )

    def save(self, run: Run) -> None:
        """Attach them to a run."""
        ranked = {
            str(slot): {**asdict(estimate), "tied": tied}
            for slot, (estimate, tied) in self.ranked.items()
        }
        table = {
            "finals": self.finals,
            "ranked": ranked,
            "finalists": {str(slot): asdict(mean) for slot, mean in self.finalists.items()},
            "cuts": self.cuts,
            "seconds": self.seconds,
            "memory": self.memory,
            "versions": self.versions,
            "commands": self.commands,
            "settings": self.settings,
        }
        with scratch(run.workspace) as folder:
            (folder / FILE).write_text(json.dumps(table, indent=1), encoding="utf-8")
            run.files(folder, FOLDER)

    @classmethod
    def load(cls, run: Run) -> Self:
        """Those of a run; none of one that an earlier version made."""
        if not run.has(f"{FOLDER}/{FILE}"):
            return cls()
        with copies(run.workspace) as folder:
            path = run.fetch(f"{FOLDER}/{FILE}", folder)
            table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        ranked = {}
        for slot, each in table["ranked"].items():
            tied = each.pop("tied")
            ranked[int(slot)] = (Estimate(**each), tied)
        means = table.get("finalists", {})
        finalists = {int(slot): Estimate(**mean) for slot, mean in means.items()}
        return cls(**{**table, "ranked": ranked, "finalists": finalists})


def made_from(tags: Mapping[str, str], versions: Mapping[str, str]) -> dict[str, str]:
    """The fingerprints of a run and the versions of the libraries, as a report shows them."""
    made = {f"{name} fingerprint": tags[name] for name in ("data", "split", "code") if name in tags}
    every = ", ".join(f"{name} {number}" for name, number in versions.items())
    return {**made, **({"versions": every} if every else {})}
