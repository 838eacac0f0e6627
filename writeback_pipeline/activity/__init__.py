"""Mailing events (Parquet) to activity summaries, computed by DuckDB."""
