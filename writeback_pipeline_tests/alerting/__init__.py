"""Alerts on their way to people, against receivers that really listen."""
