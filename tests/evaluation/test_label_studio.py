from xml.etree import ElementTree

from classifier.evaluation.labels.label_studio import Suggestion, label_studio_tasks, labelling_page


def test_task_names_the_image_as_local_storage_serves_it_and_the_suggestion() -> None:
    (task,) = label_studio_tasks([Suggestion("cat/a b.jpg", "dog", 0.87654)], "photos/")
    assert task["data"] == {"image": "/data/local-files/?d=photos/cat/a%20b.jpg"}
    (prediction,) = task["predictions"]
    assert prediction["score"] == 0.8765
    (region,) = prediction["result"]
    assert region["value"] == {"choices": ["dog"]}
    # The names under which Label Studio finds the parts of its page.
    assert (region["from_name"], region["to_name"]) == ("class", "image")


def test_without_a_prefix_paths_begin_in_the_served_folder() -> None:
    (task,) = label_studio_tasks([Suggestion("a.jpg", "dog", 1.0)])
    assert task["data"]["image"] == "/data/local-files/?d=a.jpg"


def test_labelling_page_offers_every_class_whatever_its_name() -> None:
    classes = ["cat & dog", '<"owl">', "Käfer"]
    page = ElementTree.fromstring(labelling_page(classes))
    assert [choice.get("value") for choice in page.iter("Choice")] == classes
    (choices,) = page.iter("Choices")
    (image,) = page.iter("Image")
    assert (choices.get("name"), choices.get("toName")) == ("class", image.get("name"))
