"""Prompts of the models that read text."""

OBJECT_PROMPT = (
    "The camera orbits smoothly around {subject}, keeping it in the middle. Everything stands still, as in a photo "
    "of a sculpture. Even studio light, plain white background, sharp focus, no motion blur."
)
SCENE_PROMPT = (
    "The camera glides slowly and smoothly through {subject}. Nothing in it moves, time has stopped. Constant light "
    "and exposure, deep focus, sharp details, consistent perspective."
)

NEGATIVE_PROMPT = (
    "moving people, moving objects, morphing, flicker, changing light, cuts, fade, zoom, shaky camera, motion blur, "
    "blurry, low quality, text, watermark, logo, distorted"
)
"""Contents that spoil the reconstruction of a static scene."""


def build_prompt(user_text: str, *, is_object: bool) -> str:
    """Return the prompt for an object or a scene that the user describes.

    A text that contains `{camera}` is taken as the whole prompt, with `{camera}` replaced by the description of the
    camera's motion; any other text becomes the subject of the prompt for its kind of picture.
    """
    template = OBJECT_PROMPT if is_object else SCENE_PROMPT
    if "{camera}" in user_text:
        return user_text.replace("{camera}", template.split(". ")[0].format(subject="it") + ".")
    subject = user_text.strip().rstrip(".") or ("the object" if is_object else "the scene")
    return template.format(subject=subject)
