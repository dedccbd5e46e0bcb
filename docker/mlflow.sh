#!/bin/sh
# MLflow's server behind our guard; with MLFLOW_AUTH=1 a name and a password are required.
set -eu

case "${MLFLOW_AUTH:-0}" in
  0) exec python -m tasks.tracking.server "$@" ;;
  1)
    : "${MLFLOW_AUTH_ADMIN_PASSWORD:?MLFLOW_AUTH=1 needs MLFLOW_ADMIN_PASSWORD in docker/.env}"
    : "${MLFLOW_FLASK_SERVER_SECRET_KEY:?MLFLOW_AUTH=1 needs MLFLOW_SECRET_KEY in docker/.env}"
    exec python -m tasks.tracking.server --app-name basic-auth "$@"
    ;;
  *)
    echo "MLFLOW_AUTH is ${MLFLOW_AUTH}; it must be 0 or 1" >&2
    exit 2
    ;;
esac
