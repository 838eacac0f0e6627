"""Tests: activity."""
