"""Captures: folders of photos and posed datasets, as they lie on people's disks, read as frames."""
