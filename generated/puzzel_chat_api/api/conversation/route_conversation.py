# Made by openapi-python-client 0.29.1 from openapi/puzzel-chat.json. Do not edit: run `make regenerate`.
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.problem_details import ProblemDetails
from ...models.route_reply import RouteReply
from ...models.variable import Variable
from ...types import Response


def _get_kwargs(
    id: str,
    queue_key: str,
    *,
    body: list[Variable],
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "put",
        "url": "/api/conversation/{id}/route/{queue_key}".format(
            id=quote(str(id), safe=""),
            queue_key=quote(str(queue_key), safe=""),
        ),
    }

    _kwargs["json"] = []
    for body_item_data in body:
        body_item = body_item_data.to_dict()
        _kwargs["json"].append(body_item)

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ProblemDetails | RouteReply | None:
    if response.status_code == 200:
        response_200 = RouteReply.from_dict(response.json())

        return response_200

    if response.status_code == 202:
        response_202 = RouteReply.from_dict(response.json())

        return response_202

    if response.status_code == 400:
        response_400 = ProblemDetails.from_dict(response.json())

        return response_400

    if response.status_code == 401:
        response_401 = ProblemDetails.from_dict(response.json())

        return response_401

    if response.status_code == 403:
        response_403 = ProblemDetails.from_dict(response.json())

        return response_403

    if response.status_code == 404:
        response_404 = ProblemDetails.from_dict(response.json())

        return response_404

    if response.status_code == 409:
        response_409 = ProblemDetails.from_dict(response.json())

        return response_409

    if response.status_code == 410:
        response_410 = ProblemDetails.from_dict(response.json())

        return response_410

    if response.status_code == 422:
        response_422 = ProblemDetails.from_dict(response.json())

        return response_422

    if response.status_code == 429:
        response_429 = ProblemDetails.from_dict(response.json())

        return response_429

    if response.status_code == 500:
        response_500 = ProblemDetails.from_dict(response.json())

        return response_500

    if response.status_code == 503:
        response_503 = ProblemDetails.from_dict(response.json())

        return response_503

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ProblemDetails | RouteReply]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    id: str,
    queue_key: str,
    *,
    client: AuthenticatedClient,
    body: list[Variable],
) -> Response[ProblemDetails | RouteReply]:
    """
    Args:
        id (str):
        queue_key (str):
        body (list[Variable]):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ProblemDetails | RouteReply]
    """

    kwargs = _get_kwargs(
        id=id,
        queue_key=queue_key,
        body=body,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    id: str,
    queue_key: str,
    *,
    client: AuthenticatedClient,
    body: list[Variable],
) -> ProblemDetails | RouteReply | None:
    """
    Args:
        id (str):
        queue_key (str):
        body (list[Variable]):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ProblemDetails | RouteReply
    """

    return sync_detailed(
        id=id,
        queue_key=queue_key,
        client=client,
        body=body,
    ).parsed


async def asyncio_detailed(
    id: str,
    queue_key: str,
    *,
    client: AuthenticatedClient,
    body: list[Variable],
) -> Response[ProblemDetails | RouteReply]:
    """
    Args:
        id (str):
        queue_key (str):
        body (list[Variable]):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ProblemDetails | RouteReply]
    """

    kwargs = _get_kwargs(
        id=id,
        queue_key=queue_key,
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    id: str,
    queue_key: str,
    *,
    client: AuthenticatedClient,
    body: list[Variable],
) -> ProblemDetails | RouteReply | None:
    """
    Args:
        id (str):
        queue_key (str):
        body (list[Variable]):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ProblemDetails | RouteReply
    """

    return (
        await asyncio_detailed(
            id=id,
            queue_key=queue_key,
            client=client,
            body=body,
        )
    ).parsed
