"""The benchmark: the pipeline against the machine's limit, against what most people would write, and in plain SQL."""
