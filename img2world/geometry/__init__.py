"""From a picture to surfaces that can be seen from elsewhere."""
