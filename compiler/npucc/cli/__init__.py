"""The `npucc` command: one file per verb. Results go to stdout, logs and progress to stderr."""
