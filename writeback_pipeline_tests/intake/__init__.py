"""Tests of reading files of opt-out changes."""
