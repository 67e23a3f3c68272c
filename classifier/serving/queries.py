"""Refuse query parameters that a route does not have: a mistyped name would change nothing."""

from fastapi import Request
from fastapi.routing import APIRoute

from classifier.serving.refused import RefusedError


async def check_query(request: Request) -> None:
    """Raise RefusedError for a query parameter that the route does not have, or that comes twice.

    A dependency of every route that takes query parameters.
    """
    route = request.scope["route"]
    assert isinstance(route, APIRoute)
    known = [field.alias for field in route.dependant.query_params]
    given = [name for name, _ in request.query_params.multi_items()]
    reasons = [
        f"{name}: there is no such parameter; {route.path} takes {', '.join(known)}."
        if name not in known
        else f"{name}: it is given {given.count(name)} times; give it once."
        for name in dict.fromkeys(given)
        if name not in known or given.count(name) > 1
    ]
    if reasons:
        raise RefusedError(422, " ".join(reasons))
