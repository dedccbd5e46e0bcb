"""What the configuration classes of all models share."""

from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from recsys import bounds
from recsys.models.needs import Need

Share = Annotated[float, Field(ge=0, le=1)]
Factors = Annotated[int, Field(gt=0, le=bounds.FACTORS)]
Iterations = Annotated[int, Field(gt=0, le=bounds.ITERATIONS)]
Count = Annotated[int, Field(gt=0, le=bounds.COUNT)]


class ModelConfig(BaseModel):
    """The hyper-parameters of a model: frozen, each within its bounds, no name unknown.

    The defaults are the point that a search of the model tries first. Each model file has one
    subclass; what the rest of the program may know about a model, it says there.

    Attributes:
        kind: Name of the model, as `recsys.models.MODELS` has it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    baseline: ClassVar[bool] = False
    """Whether every experiment judges it beside the winner, which has to beat it."""
    iterative: ClassVar[bool] = False
    """Whether it trains in `iterations` that can be judged along the way."""
    library: ClassVar[str | None] = None
    """A library that it needs beyond those of every model, such as PyTorch: an extra to install."""
    profile_parameters: ClassVar[tuple[str, ...]] = ()
    """Parameters that are searched only where profiles are given."""

    knows_profiles: ClassVar[bool] = False
    """Whether it can recommend to a user of whom only the profile is known."""
    knows_order: ClassVar[bool] = False
    """Whether it learns from the order in which a user met the items: the data needs times."""
    size_parameters: ClassVar[tuple[str, ...]] = ()
    """Parameters that `need` rises with."""

    kind: str

    @property
    def uses_profiles(self) -> bool:
        """Whether its lists depend on the profiles of users."""
        return False

    @property
    def parts(self) -> "tuple[ModelConfig, ...]":
        """The models that it is made of: itself."""
        return (self,)

    def cost(self, users: int, items: int, cells: int) -> float:
        """About how many multiplications a training takes; compares points of one model.

        By default the iterations times the factors, or neighbours, times the cells: it only rises
        with what a training costs.
        """
        width = max(getattr(self, name, 1) for name in ("factors", "neighbours"))
        return float(getattr(self, "iterations", 1) * width * cells)

    def need(self, users: int, items: int, cells: int) -> Need | None:
        """What a training needs beyond the data; None for models that hold no dense matrix."""
        return None

    def point(self) -> dict[str, str | int | float | bool]:
        """Every parameter that has a value, by its name, without the kind."""
        return self.model_dump(exclude={"kind"}, exclude_none=True)
