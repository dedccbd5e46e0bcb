"""Files and databases to cached stages: ingest, filter, split."""
