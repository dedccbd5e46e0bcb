"""Send INT and TERM to commands at any instant, let the same commands end, and compare.

    python benchmarks/interrupt.py [--signals 200] [--server-kills 10] [--seed 0]

A signal strikes an experiment, a study that is resumed, a worker, a comparison, a retraining or a
publication, at random from its first import to its last line. Most of them are forks of this
process, see `attempts`; some are started as users start them, with a Prefect server of their own.
With `--server-kills`, SIGKILL strikes that server alone. What is wrong, in words:

    lost           the command ran on as if no signal had come
    stuck          it had to be killed; a fork prints the stacks of its threads before
    wrong code     it ended with neither 130 nor, in its last moment, 0
    traceback      it printed one
    left open      a run or trial RUNNING, a worker's lock, a scratch folder
    not resumable  the same command then fails
    different      what it ends with is not what one ends with that was never interrupted

Exits 0 only if there is nothing of it.
"""

import argparse
import faulthandler
import gc
import itertools
import os
import random
import select
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from attempts import COMMAND, STUCK, Lab, log, open_lab
from interrupted import NAMES, NEEDED, Case, prepared
from same_study import orphans

from flows.cli import start
from flows.cli.main import INTERRUPTED

KINDS = (
    *("lost", "stuck", "wrong code", "traceback", "left open", "not resumable"),
    "different",
)
COMMANDS = 0.2  # share of commands of their own
STARTING = 6.0  # seconds, about, until such a command has imported everything
IN_A_ROW = 3  # signals until a command is left to end
STACKS = signal.SIGUSR1  # has a fork print them
LATE = 1.0  # seconds before the end in which a signal may come too late,
# and longer where the command has printed all that it had to print: then Python only clears up
SERVED = (
    "experiment",
    "compare",
    "retrain",
)  # commands with a server of their own, which is killed


@dataclass
class Tally:
    """What happened.

    Attributes:
        signals: By name, those that a process got.
        late: Of them, those that came when the command had ended.
        early: Of them, those that came before Python ran the command's first line.
        slowest: Seconds from a signal to the end of its process, and which.
        kills: Of servers, by how the command ended.
        faults: Kind and words.
    """

    signals: Counter[str] = field(default_factory=Counter)
    late: int = 0
    early: int = 0
    slowest: tuple[float, str] = (0.0, "none")
    kills: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[str, str]] = field(default_factory=list)

    def found(self, faults: Iterable[tuple[str, str]]) -> None:
        """Note what is wrong, and say it at once."""
        for kind, text in faults:
            self.faults.append((kind, text))
            _tell(f"{kind}: {text}")

    @property
    def lines(self) -> Iterator[str]:
        """The result."""
        kinds = Counter(kind for kind, _ in self.faults)
        told = ", ".join(f"{kind} {kinds[kind]}" for kind in KINDS)
        if self.kills:
            ends = ", ".join(f"{n} {how}" for how, n in sorted(self.kills.items()))
            yield f"servers killed {self.kills.total()}: {ends}"
        names = ", ".join(f"{name} {n}" for name, n in sorted(self.signals.items()))
        yield (
            f"signals {self.signals.total()} ({names}; {self.early} before Python ran a line of "
            f"ours, {self.late} when all was done; the slowest end after {self.slowest[0]:.1f} s: "
            f"{self.slowest[1]}): {told}"
        )


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes:
        code: Its exit code, or the signal as a negative number.
        was_struck: Whether it got its signal.
        after: Seconds from that to its end.
        said: What it printed.
        last: What of that it printed after its signal.
    """

    code: int
    was_struck: bool
    after: float
    said: str
    last: str


class Process:
    """A command that runs in a workspace, and what it says."""

    def __init__(self, lab: Lab, case: Case, alone: bool) -> None:
        """Begin it.

        Args:
            lab: Where all of it happens.
            case: The command.
            alone: Whether it is started as users start it, and not a fork of this process.
        """
        self._log, self._alone = log(case.place), alone
        self._said = self._log.stat().st_size if self._log.exists() else 0
        waiting = {signal.SIGINT, signal.SIGTERM}
        signal.pthread_sigmask(signal.SIG_BLOCK, waiting)  # until the child has its handlers
        self.pid = os.fork()
        if self.pid == 0:
            _run(lab, case, alone, self._log)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, waiting)
        self._begin = time.monotonic()
        self._descriptor = os.pidfd_open(self.pid)

    @property
    def age(self) -> float:
        """Seconds since its begin."""
        return time.monotonic() - self._begin

    def has_ended(self, seconds: float) -> bool:
        """Whether it has ended so long after its begin; waits for that."""
        left = max(0.0, seconds - self.age)
        return bool(select.select([self._descriptor], [], [], left)[0])

    def struck(self, target: int, number: signal.Signals, seconds: float) -> Ended:
        """Send a process a signal so long after the begin, and wait for the end of this one."""
        was_struck = not self.has_ended(seconds)
        before = self._log.stat().st_size if self._log.exists() else 0
        if was_struck:
            try:
                os.kill(target, number)
            except ProcessLookupError:  # a server that the command has stopped
                was_struck = False
        return self.end(was_struck, before)

    def end(self, was_struck: bool = False, before: int = 0) -> Ended:
        """Wait for its end; a process that is stuck is killed.

        Args:
            was_struck: Whether it got its signal.
            before: Size of its log at that instant.
        """
        begin = time.monotonic()
        if not self.has_ended(self.age + STUCK):
            if not self._alone:
                os.kill(self.pid, STACKS)
                self.has_ended(self.age + 1.0)  # until they are written
            os.kill(self.pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self._descriptor)
        with self._log.open("rb") as file:
            file.seek(self._said)
            said = file.read().decode("utf-8", "replace")
            file.seek(before)
            last = file.read().decode("utf-8", "replace")
        return Ended(code, was_struck, time.monotonic() - begin, said, last)

    def server(self) -> int | None:
        """Its Prefect server, as soon as there is one; None if it ends without."""
        while not self.has_ended(self.age + 0.02):
            for child in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
                if b"tasks.orchestration.server" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
        return None


def _run(lab: Lab, case: Case, alone: bool, file: Path) -> None:
    """The command, in the child; does not return."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    both = {signal.SIGINT, signal.SIGTERM}
    code = 70
    try:
        if alone:
            for number in both:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, both)
            os.execv(COMMAND[0], [*COMMAND, *case.argv])
        faulthandler.register(STACKS)
        for number in both:
            signal.signal(number, start._leave)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, both)
        if case.name != "work":
            os.environ["PREFECT_API_URL"] = lab.api
        sys.argv = ["recsys", *case.argv]
        code = start.main()
        gc.collect()  # Python does so when it ends, which closes what an interrupt left open
    except BaseException:  # noqa: BLE001 - nothing of it may go on in a second copy of us
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> int:
    """Strike, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--signals", type=int, default=200)
    parser.add_argument("--server-kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="COMMAND")
    parser.add_argument("--keep", type=Path, help="keep everything in this new folder")
    args = parser.parse_args()
    begin = time.monotonic()
    tally, rng = Tally(), random.Random(args.seed)
    with open_lab(args.keep, 4, NEEDED) as lab:
        cases = [*prepared(lab, _completed, args.only)]
        strike(lab, cases, args.signals, rng, tally)
        kill_servers(lab, [c for c in cases if c.name in SERVED], args.server_kills, rng, tally)
    for kind, text in tally.faults:
        print(f"{kind:>13}  {text}")
    print(f"{time.monotonic() - begin:.0f} s")
    print(*tally.lines, sep="\n")
    return 1 if tally.faults else 0


def _completed(lab: Lab, case: Case) -> float:
    """Let a command end; the seconds it took."""
    begin = time.monotonic()
    done = Process(lab, case, alone=False).end()
    if done.code != 0:
        raise RuntimeError(f"{case.name} does not end well by itself: {done.said[-2000:]}")
    return time.monotonic() - begin


def strike(lab: Lab, cases: Sequence[Case], signals: int, rng: random.Random, tally: Tally) -> None:
    """Send so many signals, in turn to all commands."""
    for case in itertools.cycle(cases):
        if tally.signals.total() >= signals:
            return
        case.again()
        for _ in range(min(IN_A_ROW, signals - tally.signals.total())):
            alone = rng.random() < COMMANDS
            number = rng.choice([signal.SIGINT, signal.SIGTERM])
            seconds = rng.uniform(0, case.seconds + STARTING * alone)
            process = Process(lab, case, alone)
            done = process.struck(process.pid, number, seconds)
            words = f"{number.name} after {seconds:.2f} s of {case.name}" + " alone" * alone
            early = alone and done.code == -signal.SIGTERM and not done.said
            if not early:
                tally.found((kind, f"{words}: {text}") for kind, text in _wrong(done, case))
            if not done.was_struck:
                break
            tally.early += early
            tally.signals[number.name] += 1
            tally.late += done.code == 0
            tally.slowest = max(tally.slowest, (done.after, words))
            _tell(f"{tally.signals.total()} signals, {len(tally.faults)} faults; {words}")
        _compare(lab, case, tally, f"{case.name} after signals")


def _wrong(done: Ended, case: Case) -> Iterator[tuple[str, str]]:
    """What is wrong with how a command ended that may have been struck."""
    last = " / ".join(done.said.strip().splitlines()[-3:])[-300:]
    if done.after > STUCK:
        yield "stuck", done.said[-4000:]
    elif done.code == 0:
        if done.was_struck and done.after > LATE and done.last:
            yield "lost", f"it ended {done.after:.1f} s later with 0, and printed {done.last!r}"
    elif done.code != INTERRUPTED or not done.was_struck:
        yield "wrong code", f"{done.code}: {last}"
    elif "recsys: interrupted" not in done.said:
        yield "wrong code", f"130, but it does not say so: {last}"
    if "Traceback" in done.said:
        yield "traceback", done.said[done.said.index("Traceback") :][-400:]
    if case.place.tracking_database.exists():
        for _, text in orphans(case.place):
            yield "left open", text


def _compare(lab: Lab, case: Case, tally: Tally, words: str) -> None:
    """Let the same command end, and compare what it ends with."""
    was_done = case.is_done(case.place)
    done = Process(lab, case, alone=False).end()
    if done.code != 0:
        last = " / ".join(done.said.strip().splitlines()[-3:])[-300:]
        tally.found([("not resumable", f"{words}: code {done.code}: {last}")])
        return
    tally.found(("different", f"{words}: {text}") for text in case.wrong(done.said, was_done))


def kill_servers(
    lab: Lab, cases: Sequence[Case], kills: int, rng: random.Random, tally: Tally
) -> None:
    """Kill the Prefect server of commands so often, in turn of each."""
    whole: dict[str, float] = {}
    for case in itertools.cycle(cases):
        if tally.kills.total() >= kills:
            return
        case.again()
        process = Process(lab, case, alone=True)
        server = process.server()
        if server is None:
            raise RuntimeError(f"{case.name} has no server: {process.end().said[-2000:]}")
        begun = process.age
        if case.name not in whole:  # how long it takes with a server
            process.end()
            whole[case.name] = process.age - begun
            continue
        seconds = rng.uniform(0, whole[case.name])
        done = process.struck(server, signal.SIGKILL, begun + seconds)
        if done.was_struck:
            words = f"server killed after {seconds:.2f} of {whole[case.name]:.0f} s of {case.name}"
            how = _how(done)
            tally.kills[how] += 1
            tally.found((kind, f"{words}: {text}") for kind, text in _failed(done))
            _tell(f"{tally.kills.total()} servers, {len(tally.faults)} faults; {words}: {how}")
            _compare(lab, case, tally, words)


def _how(done: Ended) -> str:
    """How a command ended after its server was killed."""
    if done.code == 0:
        return "ended well"
    return "stopped in a line" if done.code == 2 and "recsys: " in done.said else "failed"


def _failed(done: Ended) -> Iterator[tuple[str, str]]:
    """What is wrong with it."""
    if done.after > STUCK:
        yield "stuck", done.said[-400:]
    elif _how(done) == "failed":
        yield "wrong code", f"{done.code}: {done.said[-400:]}"
    if "Traceback" in done.said:
        yield "traceback", done.said[done.said.index("Traceback") :][-400:]


def _tell(text: str) -> None:
    end = "\r" if sys.stderr.isatty() else "\n"
    print(f"\033[K{text}" if sys.stderr.isatty() else text, end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
