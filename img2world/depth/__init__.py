"""Depth and shape predicted from one image."""
