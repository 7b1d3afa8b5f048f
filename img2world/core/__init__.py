"""The values that pass between stages, the conventions they use, and what all stages share."""
