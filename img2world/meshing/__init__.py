"""The surface of a scene as a triangle mesh: measured in depth maps, fused, simplified, unwrapped and textured."""
