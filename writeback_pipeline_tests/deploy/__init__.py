"""Installations of several processes as deploy/ describes them, with everything real."""
