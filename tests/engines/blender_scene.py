"""Run by Blender's Python: draws the GLB of the job in the environment variable ENGINE_JOB."""

import json
import math
import os

import bpy
from mathutils import Matrix

job = json.loads(os.environ["ENGINE_JOB"])
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.import_scene.gltf(filepath=job["file"])
scene = bpy.context.scene
if job["time"] is not None:
    # The importer puts 0 seconds at frame 0.
    frame = job["time"] * scene.render.fps / scene.render.fps_base
    scene.frame_set(math.floor(frame), subframe=frame % 1)

lens = bpy.data.cameras.new("view")
lens.sensor_fit = "VERTICAL"
lens.angle_y = math.radians(job["fov_y_deg"])
lens.clip_start, lens.clip_end = job["near"], job["far"]
scene.camera = bpy.data.objects.new("view", lens)
scene.camera.matrix_world = Matrix(job["pose"])
scene.collection.objects.link(scene.camera)

# Transparent, so that the background is put behind in sRGB.
scene.render.film_transparent = True
scene.render.engine = "CYCLES"
scene.cycles.samples = 8
scene.cycles.use_denoising = False
scene.view_settings.view_transform = "Standard"
scene.render.resolution_x, scene.render.resolution_y = job["width"], job["height"]
scene.render.image_settings.file_format = "PNG"
scene.render.image_settings.color_mode = "RGBA"
scene.render.filepath = job["out"]
bpy.ops.render.render(write_still=True)
