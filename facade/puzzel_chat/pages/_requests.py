"""What a page posts: the fields of the body, each checked, and the answer, which says in words what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from json import JSONDecodeError
from math import inf, isfinite
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Body = Mapping[str, Any]
Path = Mapping[str, str]
"""The parts of a path that stand for something."""
Choice = TypeVar("Choice", bound=str)


def posted(path: str, act: Callable[[Body, Path], object]) -> Route:
    """Return a route that does what a page asks for; the body is a JSON object."""

    async def answer(request: Request) -> Response:
        try:
            body = an_object(await request.json(), "the body")
        except ValueError as error:
            return refused(400, "the body is not JSON" if isinstance(error, JSONDecodeError) else str(error))
        return done(lambda: act(body, request.path_params))

    return Route(path, answer, methods=["POST"])


def done(act: Callable[[], object]) -> Response:
    """Do something and answer that it is done, or why it cannot be."""
    try:
        act()
    except KeyError as error:
        return refused(409, f"there is no {error.args[0]}")
    except (LookupError, RuntimeError) as error:
        return refused(409, str(error))
    except ValueError as error:
        return refused(400, str(error))
    return JSONResponse({})


def refused(status: int, why: str) -> JSONResponse:
    """Return an error that a page shows to its user."""
    return JSONResponse({"error": why}, status)


def text(body: Body, name: str) -> str:
    """Return a text."""
    value = body.get(name)
    if isinstance(value, str):
        return value
    raise ValueError(f"{name} must be a text")


def texts(body: Body, name: str) -> list[str]:
    """Return a list of texts."""
    value = body.get(name)
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError(f"{name} must be a list of texts")
    return value


def flag(body: Body, name: str) -> bool:
    """Return true or false."""
    value = body.get(name)
    if value is not True and value is not False:
        raise ValueError(f"{name} must be true or false")
    return value


def number(body: Body, name: str, lowest: float = 0.0, highest: float = inf) -> float:
    """Return a number, within its bounds."""
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ValueError(f"{name} must be a number")
    if not lowest <= value <= highest:
        upper = "" if highest == inf else f" and at most {highest:g}"
        raise ValueError(f"{name} must be at least {lowest:g}{upper}")
    return float(value)


def whole(body: Body, name: str, lowest: int = 0, highest: float = inf) -> int:
    """Return a whole number, within its bounds."""
    value = number(body, name, lowest, highest)
    if value != int(value):
        raise ValueError(f"{name} must be a whole number")
    return int(value)


def one_of(body: Body, name: str, choices: Iterable[Choice]) -> Choice:
    """Return a text that is one of several."""
    known = list(choices)
    found = next((one for one in known if one == body.get(name)), None)
    if found is None:
        raise ValueError(f"{name} must be one of {', '.join(known)}")
    return found


def inner(body: Body, name: str) -> Body:
    """Return an object within the body, an empty one where there is none."""
    return an_object(body.get(name, {}), name)


def an_object(value: object, name: str) -> Body:
    """Return a value that is an object."""
    if isinstance(value, dict):
        return value
    raise ValueError(f"{name} must be an object")
