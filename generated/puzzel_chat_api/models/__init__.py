# Made by openapi-python-client 0.29.1 from openapi/puzzel-chat.json. Do not edit: run `make regenerate`.
"""Contains all the data models used in inputs/outputs"""

from .agent import Agent
from .allocation_status import AllocationStatus
from .authenticate_reply import AuthenticateReply
from .authenticate_request import AuthenticateRequest
from .author import Author
from .author_role import AuthorRole
from .chat_event_kind import ChatEventKind
from .chat_message import ChatMessage
from .chat_message_type import ChatMessageType
from .connect_token_body import ConnectTokenBody
from .event_message import EventMessage
from .file_message import FileMessage
from .option import Option
from .options_message import OptionsMessage
from .poll_reply import PollReply
from .problem_details import ProblemDetails
from .queue_info import QueueInfo
from .request_status import RequestStatus
from .route_reply import RouteReply
from .send_message_reply import SendMessageReply
from .send_message_request import SendMessageRequest
from .text_message import TextMessage
from .time_info import TimeInfo
from .token_error import TokenError
from .token_reply import TokenReply
from .typing_request import TypingRequest
from .upload_reply import UploadReply
from .variable import Variable

__all__ = (
    "Agent",
    "AllocationStatus",
    "AuthenticateReply",
    "AuthenticateRequest",
    "Author",
    "AuthorRole",
    "ChatEventKind",
    "ChatMessage",
    "ChatMessageType",
    "ConnectTokenBody",
    "EventMessage",
    "FileMessage",
    "Option",
    "OptionsMessage",
    "PollReply",
    "ProblemDetails",
    "QueueInfo",
    "RequestStatus",
    "RouteReply",
    "SendMessageReply",
    "SendMessageRequest",
    "TextMessage",
    "TimeInfo",
    "TokenError",
    "TokenReply",
    "TypingRequest",
    "UploadReply",
    "Variable",
)
