"""What a served model is asked and what it answers, as MLflow checks it."""

from typing import Any

from mlflow.models import ModelSignature
from mlflow.types import DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import AnyType, ColSpec, TensorSpec

from recsys.serving.package import K


def request_signature() -> ModelSignature:
    """Columns of a request and of an answer, and `k`; see `recsys.serving.package`."""
    text, number = DataType.string, DataType.double
    anything: Any = AnyType  # its constructor has no types
    inputs: list[ColSpec | TensorSpec] = [
        ColSpec(text, "user", required=False),
        # A text or a list: MLflow has no type for either of two.
        ColSpec(anything(), "items", required=False),
        ColSpec(anything(), "plays", required=False),
    ]
    outputs: list[ColSpec | TensorSpec] = [
        ColSpec(text, "user", required=False),
        ColSpec(text, "item"),
        ColSpec(text, "name"),
        ColSpec(number, "score"),
        ColSpec(DataType.long, "rank"),
    ]
    return ModelSignature(
        inputs=Schema(inputs),
        outputs=Schema(outputs),
        params=ParamSchema([ParamSpec("k", DataType.long, K)]),
    )
