"""Recipes that trained the weights in assets/: procedural data with known geometry, training and evaluation."""
