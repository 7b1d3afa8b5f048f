"""Object captures: what photos or a video turn around, cut out of all views and consistent between them."""
