#!/bin/sh
# The work pool, left as it is where it exists, and the deployments of prefect.yaml.
set -eu

pool="$1"
if ! prefect work-pool inspect "$pool" > /dev/null 2>&1; then
  prefect work-pool create --type process "$pool"
fi
if [ -f prefect.yaml ]; then
  prefect --no-prompt deploy --all
else
  echo "There is no prefect.yaml: nothing to deploy."
fi
