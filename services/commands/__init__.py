"""The subcommands of `plafond`, a file a subject."""
