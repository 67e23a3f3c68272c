import pytest
from builders.colours import image_of
from builders.web.serving import form
from fastapi.testclient import TestClient


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("topk=3", "topk: there is no such parameter; /predict takes top_k."),
        ("tta=maybe", "tta: there is no such parameter; /predict takes top_k."),
        ("TOP_K=3&top_k=3", "TOP_K: there is no such parameter; /predict takes top_k."),
        ("=", ": there is no such parameter; /predict takes top_k."),
        ("top_k=3&top_k=4", "top_k: it is given 2 times; give it once."),
        ("top_k=", "top_k: Input should be a valid integer"),
        ("top_k=0", "top_k: Input should be greater than or equal to 1."),
    ],
)
def test_a_query_that_is_mistyped_is_refused(client: TestClient, query: str, reason: str) -> None:
    response = client.post(f"/predict?{query}", files=form(image_of("red")))
    assert response.status_code == 422
    assert list(response.json()) == ["error"]
    assert response.json()["error"].startswith(reason)


def test_every_route_with_query_parameters_refuses_others(client: TestClient) -> None:
    seen = set()
    for path, methods in client.get("/openapi.json").json()["paths"].items():
        for method, route in methods.items():
            names = [one["name"] for one in route.get("parameters", []) if one["in"] == "query"]
            if names:
                seen.add(path)
                response = client.request(method, f"{path}?colour=red")
                takes = f"colour: there is no such parameter; {path} takes {', '.join(names)}."
                assert (response.status_code, response.json()) == (422, {"error": takes})
                stated = route["responses"]["422"]["content"]["application/json"]["schema"]
                assert stated["$ref"].endswith("/ErrorResponse")
    assert seen == {"/predict", "/heatmap", "/similar.jpg"}
