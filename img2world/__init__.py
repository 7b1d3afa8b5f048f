"""One picture in, a world out."""
