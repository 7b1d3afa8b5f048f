"""Scene to web page: one file with our own viewer, and a small server to show it."""
