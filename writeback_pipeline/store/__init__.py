"""The platform database: queue, ledger, journal of attempts, settings, origin ledger."""
