"""Runnable measurements, not tests: each benchmark yields rows (`rows.py`), which `python -m benchmarks` gathers."""
