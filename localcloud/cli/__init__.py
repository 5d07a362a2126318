"""The `sluiceway` command: one module a family of subcommands, each imported only when it is called."""
