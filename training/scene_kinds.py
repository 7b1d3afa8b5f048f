"""All made places."""

from training.indoor_scenes import portrait, relief, room, tabletop
from training.outdoor_scenes import outdoors, street

PLACES = {
    "room": room,
    "outdoors": outdoors,
    "street": street,
    "tabletop": tabletop,
    "portrait": portrait,
    "relief": relief,
}
SHARES = {"room": 0.3, "outdoors": 0.22, "street": 0.14, "tabletop": 0.14, "portrait": 0.14, "relief": 0.06}
"""How often each place is made."""
