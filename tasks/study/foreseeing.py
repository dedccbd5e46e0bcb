"""What the trainings of a study need, said and checked before the first one."""

from pathlib import Path

from recsys.config import ExperimentConfig
from recsys.models import make_config
from recsys.models.config import ModelConfig
from recsys.models.needs import available_memory, product_rate, require_memory
from tasks.progress import report_progress, report_result
from tasks.study.study import Study, fold_at


def foresee(study: Study, validation: Path) -> None:
    """Report what a training of the largest model of the study needs, in one line.

    Nothing is reported of a model that holds no dense matrix of items.

    Args:
        study: The study.
        validation: Folder of the validation fold.

    Raises:
        InputError: it does not fit into the memory.
    """
    model = largest(study.config)
    if model.need(1, 1, 1) is None:
        return
    train = fold_at(validation).train
    need = model.need(*train.shape, len(train))
    assert need is not None  # as above
    report_progress("checking memory", 0, None)
    available = available_memory()
    require_memory(model.kind, need, available)
    report_result(need.line(model.kind, available, product_rate()))


def largest(config: ExperimentConfig) -> ModelConfig:
    """The model of a study with the highest values of what its memory rises with."""
    space, model = config.whole_space, make_config(config.model, {})
    sizes = [name for name in model.size_parameters if name in space]
    highest = {name: max(filter(_is_number, space[name].ends)) for name in sizes}
    return make_config(config.model, highest)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)
