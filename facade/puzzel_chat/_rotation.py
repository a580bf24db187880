"""Which rotation policy a service has, found out with a session that is spent for it: each reply tells what to send.

connect ──► refresh ──► the spent refresh token again ──► if that was refused, the newest one: does the session live?
"""

from __future__ import annotations

from collections.abc import Sequence

from puzzel_chat._config import Settings
from puzzel_chat._errors import SessionExpired
from puzzel_chat._http import Reply, Request
from puzzel_chat._models import Rotation
from puzzel_chat._tokens import connect_fields, refresh_fields
from puzzel_chat._wire.operations import TOKEN, token_request
from puzzel_chat._wire.refusals import error_for, refresh_error
from puzzel_chat._wire.replies import Grant, grant


def next_look(settings: Settings, replies: Sequence[Reply]) -> Request | Rotation:
    """Give the next request, by the replies so far, or what they tell; raises for a reply that tells nothing."""
    if not replies:
        return token_request(connect_fields(settings))
    first, *later = _grants(replies)
    if first.refresh is None:
        return Rotation(policy="no_refresh_token", expires_in=first.expires_in)
    if len(replies) < 3:
        return token_request(refresh_fields(settings, first.refresh))
    newest = later[0].refresh or first.refresh
    refused = _refused(replies[2])
    if refused and newest != first.refresh and len(replies) < 4:
        return token_request(refresh_fields(settings, newest))
    if refused:
        lives = len(replies) == 4 and not _refused(replies[3])
        return Rotation(policy="refused" if lives else "revoked", expires_in=first.expires_in)
    if newest == first.refresh:
        return Rotation(policy="kept", expires_in=first.expires_in)
    same = grant(replies[2]).refresh == newest
    return Rotation(policy="same_reply" if same else "new_reply", expires_in=first.expires_in)


def _grants(replies: Sequence[Reply]) -> list[Grant]:
    """Give what the first two requests brought, which have to be granted."""
    if error := error_for(TOKEN, replies[0]):
        raise error
    if len(replies) > 1 and _refused(replies[1]):
        raise SessionExpired("The service gave a refresh token and refused it at its first use. Ask who runs it.")
    return [grant(reply) for reply in replies[:2]]


def _refused(reply: Reply) -> bool:
    """Tell whether a refresh token was refused; raises any other error, which says nothing about the token."""
    error = error_for(TOKEN, reply)
    if error is None:
        return False
    refused = refresh_error(error)
    if not isinstance(refused, SessionExpired):
        raise refused
    return True
