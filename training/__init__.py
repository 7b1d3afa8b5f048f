"""The recipes that made the weights in assets/: made pictures with known geometry, training, evaluation."""
