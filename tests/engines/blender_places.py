"""Run by Blender's Python: where the points of a PLY and a GLB file are, the former turned as a manifest says.

The job in the environment variable ENGINE_JOB names the files, the turn and the JSON file to write.
"""

import json
import math
import os

import bpy

job = json.loads(os.environ["ENGINE_JOB"])
bpy.ops.wm.read_factory_settings(use_empty=True)


def place(import_file, turn=None):
    """Import a file and return the corners of the box around its points."""
    import_file()
    found = next(item for item in bpy.context.selected_objects if item.type == "MESH")
    if turn:
        found.location, found.scale = turn["position"], turn["scale"]
        found.rotation_euler = [math.radians(angle) for angle in turn["euler_deg"]]
    bpy.context.view_layer.update()
    points = [found.matrix_world @ vertex.co for vertex in found.data.vertices]
    return [[limit(point[axis] for point in points) for axis in range(3)] for limit in (min, max)]


splats = place(lambda: bpy.ops.wm.ply_import(filepath=job["splats"]), job["turn"])
bpy.ops.object.select_all(action="DESELECT")
mesh = place(lambda: bpy.ops.import_scene.gltf(filepath=job["mesh"]))
with open(job["out"], "w") as file:
    json.dump({"splats": splats, "mesh": mesh}, file)
