"""The commands of `writebacks`, one module per group; imported only when a command is called."""
