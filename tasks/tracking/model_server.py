"""A registered model over HTTP, as `mlflow models serve` answers, behind our guard.

    python -m tasks.tracking.model_server MODEL HOST PORT [NAMES]

MODEL is an address such as models:/recsys@champion, which MLflow looks up where
MLFLOW_TRACKING_URI says; NAMES are further names that the server answers to, separated by commas.
The model brings its own `recsys`, so nothing here imports ours.
"""

import sys
from tempfile import TemporaryDirectory

from tasks.orchestration.guard import Guard, GuardedAsgi


def main(model: str, host: str, port: str, names: str = "") -> None:
    """Answer at http://host:port/invocations until interrupted."""
    import uvicorn
    from mlflow.pyfunc import load_model, scoring_server

    with TemporaryDirectory(prefix="recsys-model-") as copy:  # MLflow writes beside what it loads
        app = scoring_server.init(load_model(model, dst_path=copy))
        uvicorn.run(
            GuardedAsgi(app, Guard.of(host, names)),
            host=host,
            port=int(port),
            log_level="warning",
            workers=1,  # whatever WEB_CONCURRENCY says
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
