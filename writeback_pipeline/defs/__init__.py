"""The Dagster shell: assets, checks, jobs, resources, schedules, sensors. Holds no rules of its own."""
