"""What MLflow runs to load a registered model: models from code, nothing is pickled.

This file travels with the model, beside a copy of `recsys`, and runs where nothing else of ours
is: it may import `recsys` and `mlflow` alone. `tasks.tracking.registering` ships it.
"""

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from recsys.errors import InputError
from recsys.serving.answers import Served
from recsys.serving.package import K, answers, unpack


class RegisteredModel(PythonModel):
    """Recommendations for known users and for histories, see `recsys.serving.package.answers`."""

    _served: Served

    def load_context(self, context: PythonModelContext) -> None:
        """Read the arrays that came along."""
        self._served = unpack(Path(context.artifacts["served"]))

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """A row per recommendation.

        Args:
            context: Of MLflow; not used.
            model_input: The questions.
            params: `k`, how many for each.

        Raises:
            MlflowException: a question cannot be answered; MLflow's server makes it status 400.
        """
        try:
            return answers(self._served, model_input, int((params or {}).get("k", K)))
        except InputError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error


set_model(RegisteredModel())
