"""The organisation's HTTP resources: each module answers a few of them, all through one routing table."""
