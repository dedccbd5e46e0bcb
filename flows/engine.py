"""Runs a flow of a deployment, as `python -m prefect.engine` does: python -P -m flows.engine.

Prefect imports a flow with the current folder before all that is installed. Ours are imported
here, before it looks: a tasks.py, or an optuna.py, of that folder is not ours.
"""

import runpy
import warnings

import flows.compare
import flows.experiment
import flows.publish
import flows.retrain  # noqa: F401

if __name__ == "__main__":
    warnings.filterwarnings("ignore", "'prefect.engine' found in sys.modules", RuntimeWarning)
    runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)
