"""A command that has ended keeps its exit code, whatever signal comes while Python ends."""

import subprocess
import sys

import pytest

LATE = """
import os, signal, sys
from flows.cli import main, start

class Late:
    def __del__(self, kill=os.kill, me=os.getpid(), number={number}):
        kill(me, number)

main.main = lambda: 3
late = Late()
sys.exit(start.main())
"""


@pytest.mark.parametrize("number", ["signal.SIGINT", "signal.SIGTERM"])
def test_a_signal_while_python_ends_changes_no_exit_code(number: str) -> None:
    done = subprocess.run([sys.executable, "-c", LATE.format(number=number)], check=False)

    assert done.returncode == 3
