from img2world.source import find_source


def test_photos_of_a_dataset_are_found_in_its_images_folder(tmp_path, picture):
    dataset = tmp_path / "buddha"
    (dataset / "images").mkdir(parents=True)
    (dataset / "README.md").write_text("Photos of a statue.")
    picture.rename(dataset / "images" / "0.png")
    found = find_source(dataset)
    assert (found.kind, found.name, found.path.name) == ("photos", "buddha", "images")
