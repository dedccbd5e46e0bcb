"""Progress on standard error: a line with a bar on a terminal, a line now and then elsewhere.

━━━━━━╸━━━━━━━━━ trial 4/15, 128 factors, iteration 3/15, best 0.2177, 0:31, about 1:10 left
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID
from rich.text import Text

from flows.cli.outside import write_line
from tasks.progress import Level, Stage, reporting_to

EVERY = 5.0  # seconds between lines where they stay
BAR = 16
LEVELS: tuple[Level, ...] = ("model", "trial")
TRAINING = 0.9  # share of a trial that its iterations take; judging takes the rest
EARLIEST = 2.0, 0.01  # seconds and share of the work after which the rest can be estimated

Monotonic = Callable[[], float]


class Standing:
    """How far the work is, in words and as a share of all of it."""

    def __init__(self, clock: Monotonic) -> None:
        """Start now."""
        self._clock = clock
        self._began = clock()
        self._stages: dict[Level, Stage] = {}
        self._step = ""
        self._share = 0.0  # of the innermost stage, or of the step where there is no stage
        self._from: tuple[float, float] | None = None  # when the first stage began, and how far

    def step(self, what: str, done: int, total: int | None) -> None:
        """A step has got to `done` of `total`."""
        iterates = "iteration" in what
        if iterates:
            work = "" if self._stages else what.partition("iteration")[0]
            self._step = f"{work}iteration {done}" + (f"/{total}" if total else "")
        else:
            of = "" if total is None else f" of {total:,}"
            self._step = f"{what}: {done:,}{of}" if done else what
        if self._stages and iterates and total:
            self._share = max(self._share, TRAINING * done / total)
        elif not self._stages:
            self._share = done / total if total else 0.0

    def stage(self, level: Level, stage: Stage | None) -> None:
        """A stage begins; stages within the last one of its level have ended."""
        for each in LEVELS[LEVELS.index(level) :]:
            self._stages.pop(each, None)
        self._share, self._step = 0.0, ""
        if stage is not None:
            self._stages[level] = stage
            if self._from is None:
                self._from = self._clock(), self.share
        elif not self._stages:
            self._from = None

    @property
    def share(self) -> float:
        """Of the work that is done, 0 to 1: 0 where that is not known."""
        share = self._share
        for level in reversed(LEVELS):
            if stage := self._stages.get(level):
                share = (stage.done + share) / max(stage.total, 1)
        return min(share, 1.0)

    @property
    def prefix(self) -> str:
        """What a line that stays begins with: the model that is compared."""
        stage = self._stages.get("model")
        return "" if stage is None else f"{stage.label}, "

    def text(self, width: int | None = None) -> str:
        """In words, without what does not fit: the step goes first, then the labels.

        Args:
            width: Most characters; None for as many as there are.
        """
        stages = [self._stages[level] for level in LEVELS if level in self._stages]
        labels = [part for stage in stages for part in stage.label.split(", ")]
        best = [f"best {stage.best:.4f}" for stage in stages if stage.best is not None]
        took = [duration(self._clock() - self._began)]
        left = [] if self.left is None else [f"about {duration(self.left)} left"]
        step = [self._step] * bool(self._step)
        shorter = [labels[-2:] or step, labels[-2:-1] or step, labels[:1] or step]
        lines = [[*labels, *step, *best, *took, *left], [*labels, *best, *took, *left]]
        lines += [[*few, *best, *took, *left] for few in shorter] + [[*took, *left], took]
        texts = [", ".join(line) for line in lines]
        return next((t for t in texts if width is None or len(t) <= width), texts[-1])

    @property
    def left(self) -> float | None:
        """Estimate of the seconds that the stages still take; None where it is too early."""
        if self._from is None:
            return None
        began, before = self._from
        took, gained = self._clock() - began, self.share - before
        seconds, share = EARLIEST
        return took * (1 - self.share) / gained if took >= seconds and gained >= share else None


class ProgressDisplay:
    """A `tasks.progress.Display` on a stream."""

    def __init__(
        self, stream: TextIO, clock: Monotonic = time.monotonic, *, refreshes: bool = True
    ) -> None:
        """Prepare; nothing is written before the first report.

        Args:
            stream: Where to.
            clock: Monotonic.
            refreshes: Whether the line of a terminal moves between reports, in a thread.
        """
        moves = stream.isatty()
        self._console = Console(file=stream, force_terminal=moves, highlight=False, markup=False)
        self._moves = moves and not self._console.is_dumb_terminal
        self._stream, self._clock, self._refreshes = stream, clock, refreshes
        self._standing = Standing(clock)
        self._written = float("-inf")
        self._begins = False  # a stage, of whose training nothing was written yet
        self._bar: tuple[Progress, TaskID] | None = None

    def __call__(self, what: str, done: int, total: int | None) -> None:
        """Show a step."""
        self._standing.step(what, done, total)
        if self._begins and "iteration" in what:
            self._begins, self._written = False, float("-inf")
        self._show()

    def stage(self, level: Level, stage: Stage | None) -> None:
        """Show that a stage begins, or with None that the last one has ended."""
        self._standing.stage(level, stage)
        self._begins = stage is not None
        self._show()

    def keep(self, line: str) -> None:
        """Show a line that stays."""
        text = self._standing.prefix + line
        if self._bar is not None:
            self._bar[0].console.print(Text(text), soft_wrap=True)
        else:
            self._write(text)

    def close(self) -> None:
        """Take the moving line away."""
        if self._bar is not None:
            self._bar[0].stop()
            self._bar = None

    def _show(self) -> None:
        if self._moves:
            progress, task = self._started()
            share = self._standing.share
            progress.update(task, completed=share, total=1.0 if share else None)
            if not self._refreshes:
                progress.refresh()
        elif self._clock() - self._written >= EVERY:
            self._write(self._standing.text())

    def _started(self) -> tuple[Progress, TaskID]:
        if self._bar is None:
            progress = Progress(
                BarColumn(bar_width=BAR),
                _Words(self._standing, self._console),
                console=self._console,
                auto_refresh=self._refreshes,
                refresh_per_second=4,
                redirect_stdout=False,
                transient=True,
            )
            progress.start()
            self._bar = progress, progress.add_task("", total=None)
        return self._bar

    def _write(self, text: str) -> None:
        write_line(self._stream, text)
        self._written = self._clock()


class _Words(ProgressColumn):
    """The words beside the bar, as many as fit."""

    def __init__(self, standing: Standing, console: Console) -> None:
        super().__init__()
        self._standing, self._console = standing, console

    def render(self, task: Task) -> Text:
        return Text(self._standing.text(self._console.width - BAR - 2), no_wrap=True)


@contextmanager
def showing_progress(stream: TextIO, quiet: bool = False) -> Iterator[None]:
    """Within the block, reports are shown on a stream; nothing is with `quiet`."""
    if quiet:
        with nullcontext():
            yield
        return
    display = ProgressDisplay(stream)
    try:
        with reporting_to(display):
            yield
    finally:
        display.close()


def duration(seconds: float) -> str:
    """Minutes and seconds, with hours where there are any: 0:31, 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
