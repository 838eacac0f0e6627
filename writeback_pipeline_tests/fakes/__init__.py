"""Stand-ins that are checked like the real thing: a ledger in memory, and an organisation in memory that fails."""
