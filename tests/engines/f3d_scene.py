"""Draws the file of the job in the environment variable ENGINE_JOB with f3d, of splats the harmonics of degree 0 only.

It runs in a process of its own, since f3d needs a newer OpenSSL than Python may have loaded.
"""

import json
import os

import f3d

SPLATS = {
    "model.point_sprites.type": "gaussian",
    "model.point_sprites.absolute_size": True,
    "model.point_sprites.size": 1.0,
    "model.coloring": "direct",
    "model.scivis.array_name": "color",
    "render.effect.blending.mode": "sort",
}

job = json.loads(os.environ["ENGINE_JOB"])
f3d.Engine.autoload_plugins()
engine = f3d.Engine.create(offscreen=True)
engine.options.update({"render.background.color": job["background"]})
engine.options.update({"render.effect.antialiasing.mode": "ssaa"} if job["file"].endswith(".glb") else SPLATS)
engine.window.size = job["width"], job["height"]
engine.scene.add(job["file"])
right, up, back, eye = ([row[i] for row in job["pose"][:3]] for i in range(4))
camera = engine.window.camera
camera.position = tuple(eye)
camera.focal_point = tuple(a - b for a, b in zip(eye, back, strict=True))
camera.view_up = tuple(up)
camera.view_angle = job["fov_y_deg"]
engine.window.render_to_image().save(job["out"])
