#!/bin/sh
# The work pool and the automations, left as they are where they exist, and the deployments of
# prefect.yaml.
set -eu

pool="$1"
if ! prefect work-pool inspect "$pool" > /dev/null 2>&1; then
  prefect work-pool create --type process "$pool"
fi
if ! prefect automation inspect recsys-crash-silent-runs > /dev/null 2>&1; then
  prefect automation create --from-file flows/automations.yaml
fi
if [ -f prefect.yaml ]; then
  prefect --no-prompt deploy --all
else
  echo "There is no prefect.yaml: nothing to deploy."
fi
