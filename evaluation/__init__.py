"""Quality on rendered ground truth: what `img2world eval` does."""
