from img2world.video.diffusion.prompts import build_prompt


def test_templates_take_the_users_words():
    assert "orbits smoothly around the object" in build_prompt("", is_object=True)
    assert "orbits smoothly around a red mug," in build_prompt(" a red mug. ", is_object=True)
    assert "white background" in build_prompt("", is_object=True)
    assert "through a narrow street." in build_prompt("a narrow street", is_object=False)


def test_a_whole_prompt_of_the_user_replaces_the_template():
    prompt = build_prompt("Oil painting. {camera} At dusk.", is_object=True)
    assert prompt.startswith("Oil painting. The camera orbits smoothly around it")
    assert prompt.endswith("At dusk.")
    assert "studio light" not in prompt
