"""What text models are told."""

ORBIT = (
    "The camera orbits smoothly around {subject}, keeping it in the middle. Everything stands still, as in a photo "
    "of a sculpture. Even studio light, plain white background, sharp focus, no motion blur."
)
WALK = (
    "The camera glides slowly and smoothly through {subject}. Nothing in it moves, time has stopped. Constant light "
    "and exposure, deep focus, sharp details, consistent perspective."
)

NEGATIVE = (
    "moving people, moving objects, morphing, flicker, changing light, cuts, fade, zoom, shaky camera, motion blur, "
    "blurry, low quality, text, watermark, logo, distorted"
)
"""All that a reconstruction of a still world suffers from."""


def prompt_for(user_text: str, *, is_object: bool) -> str:
    """The whole prompt: the user's words about what the picture shows, in the template for an object or a scene.

    Words that hold `{camera}` are a whole prompt of their own; the template then replaces `{camera}` only.
    """
    template = ORBIT if is_object else WALK
    if "{camera}" in user_text:
        return user_text.replace("{camera}", template.split(". ")[0].format(subject="it") + ".")
    subject = user_text.strip().rstrip(".") or ("the object" if is_object else "the scene")
    return template.format(subject=subject)
