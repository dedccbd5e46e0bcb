#!/bin/sh
# Prefect's server behind our guard: pages of other sites, foreign names and clients without the
# text are refused, because a client of it can start commands in the runner.
set -eu

: "${PREFECT_SERVER_API_AUTH_STRING:?is not set: PREFECT_PASSWORD in docker/.env}"
exec python -m tasks.orchestration.prefect_server \
  "$PREFECT_SERVER_API_HOST" "$PREFECT_SERVER_API_PORT" "$RECSYS_ALLOWED_HOSTS"
