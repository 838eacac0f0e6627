"""Tests: salesforce."""
