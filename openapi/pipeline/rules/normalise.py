"""Take the habits of the vendor's framework out of a document, one trap of the generator per function.

Every rule takes a whole document and returns a new one, keeps the order of keys, and leaves a document
without its trap alone. What a rule changes of the meaning, or cannot keep, it tells in one sentence with its place.
"""

from __future__ import annotations

from pipeline.document import Object
from pipeline.rules.contents import (
    keep_json_requests,
    keep_json_responses,
    read_any_type_as_json,
    tell_calls_back,
)
from pipeline.rules.defaults import drop_unusable_defaults
from pipeline.rules.dialect import (
    admit_null_for_references,
    leave_out_nothing,
    read_extension_for_null,
    read_numbers_as_numbers,
    write_limits_as_numbers,
    write_null_as_type,
    write_out_short_schemas,
)
from pipeline.rules.enums import keep_enum_members, name_enum_members
from pipeline.rules.inheritance import merge_inheritance, name_kinds, move_members_into_all_of
from pipeline.rules.operations import separate_operations
from pipeline.rules.parameters import match_path_parameters, pass_parameters, plain_paths
from pipeline.rules.schemas import drop_titles, lift_inner_schemas, separate_properties, separate_schemas
from pipeline.rules.servers import fold_server_path
from pipeline.rules.shared import repeat_security, write_parts_where_used
from pipeline.rules.walk import Note, Rule

# The order is part of the rules: first where things are, then what they are called, then what they say; the
# move to OpenAPI 3.1 comes late, because most rules know the words of 3.0.
RULES: tuple[Rule, ...] = (
    leave_out_nothing,
    write_parts_where_used,
    read_extension_for_null,
    write_out_short_schemas,
    lift_inner_schemas,
    separate_schemas,
    plain_paths,
    fold_server_path,
    read_any_type_as_json,
    keep_json_responses,
    keep_json_requests,
    repeat_security,
    tell_calls_back,
    match_path_parameters,
    pass_parameters,
    name_enum_members,
    keep_enum_members,
    merge_inheritance,
    name_kinds,
    move_members_into_all_of,
    drop_titles,
    separate_properties,
    admit_null_for_references,
    write_limits_as_numbers,
    write_null_as_type,
    read_numbers_as_numbers,
    drop_unusable_defaults,
    separate_operations,
)


def normalise(document: Object, note: Note) -> Object:
    """Apply every rule in order and return the new document; `note` gets a sentence for each thing worth knowing."""
    for rule in RULES:
        document = rule(document, note)
    return document
