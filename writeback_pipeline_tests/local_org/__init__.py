"""Tests: local_org."""
