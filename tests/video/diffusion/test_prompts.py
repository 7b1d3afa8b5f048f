from img2world.video.diffusion.prompts import prompt_for


def test_templates_take_the_users_words():
    assert "orbits smoothly around the object" in prompt_for("", is_object=True)
    assert "orbits smoothly around a red mug," in prompt_for(" a red mug. ", is_object=True)
    assert "white background" in prompt_for("", is_object=True)
    assert "through a narrow street." in prompt_for("a narrow street", is_object=False)


def test_a_whole_prompt_of_the_user_replaces_the_template():
    told = prompt_for("Oil painting. {camera} At dusk.", is_object=True)
    assert told.startswith("Oil painting. The camera orbits smoothly around it")
    assert told.endswith("At dusk.")
    assert "studio light" not in told
