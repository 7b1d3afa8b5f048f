"""Prediction of depth and shape from one image."""
