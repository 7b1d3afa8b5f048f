"""Diagnosis: what is wrong with this machine, or with a video, and what to do about it."""
