"""The production delivery on a virtual clock: two workers, a hostile organisation, histories by their seeds."""
