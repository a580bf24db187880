"""What a probe found out about polls and refresh tokens, and what it means for whoever runs chats, in plain words."""

from __future__ import annotations

STORE = "Several processes on one session must share one store."

SEMANTICS: dict[str, tuple[str, str]] = {
    "history": ("A poll gives the whole history, each time.", "A lost reply costs nothing; long chats cost traffic."),
    "cursor": ("A poll gives what follows the cursor.", "A lost reply costs nothing: the next poll brings it again."),
    "drain": (
        "A poll gives what this token has not read yet.",
        "A lost reply loses its messages; no client can get them back.",
    ),
}
ROTATION: dict[str, tuple[str, str]] = {
    "no_refresh_token": (
        "The service gives no refresh token.",
        "A session ends with its token, and a chat cannot last longer than that.",
    ),
    "kept": (
        "No rotation: the refresh token stays as it is and can be used again.",
        "A lost reply to a refresh costs nothing, and processes cannot spend each other's token.",
    ),
    "same_reply": (
        "Rotation: right after its use the old refresh token still gives the same reply.",
        f"A lost reply to a refresh costs nothing while the service forgives; for how long was not tried. {STORE}",
    ),
    "new_reply": (
        "Rotation: right after its use the old refresh token still works and gives another new one.",
        f"A lost reply to a refresh costs nothing while the service forgives; for how long was not tried. {STORE}",
    ),
    "refused": (
        "Rotation: the old refresh token is refused, and the session lives on.",
        f"A lost reply to a refresh costs the session, since nobody has the new refresh token. {STORE}",
    ),
    "revoked": (
        "Rotation without forgiveness: using the old refresh token again ends the session.",
        "A lost reply to a refresh costs the session, and so does a process that is killed while it refreshes, or comes"
        f" with an old token. {STORE}",
    ),
}
