"""Prints what nerfstudio's dataparser makes of a dataset, as JSON: `python record_nerfstudio.py FOLDER`.

Run by an interpreter that has nerfstudio 1.1 (and open3d, without which the points are left out).
"""

import json
import sys
from importlib.util import find_spec
from pathlib import Path

from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig

folder = Path(sys.argv[1])
config = NerfstudioDataParserConfig(data=folder, downscale_factor=1, load_3D_points=find_spec("open3d") is not None)
parser = config.setup()
train, val = parser.get_dataparser_outputs("train"), parser.get_dataparser_outputs("val")
train.save_dataparser_transform(folder / "dataparser_transforms.json")
points = train.metadata.get("points3D_xyz")
facts = {
    "train": [path.name for path in train.image_filenames],
    "val": [path.name for path in val.image_filenames],
    "camera_to_worlds": train.cameras.camera_to_worlds.double().tolist(),
    **{name: getattr(train.cameras, name)[:, 0].tolist() for name in ("fx", "fy", "cx", "cy")},
    "points": None if points is None else points.double().tolist(),
    **json.loads((folder / "dataparser_transforms.json").read_text()),
}
sys.stdout.write(json.dumps(facts) + "\n")
