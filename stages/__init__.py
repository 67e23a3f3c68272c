"""The programs that `dvc.yaml` runs: one file a stage."""
