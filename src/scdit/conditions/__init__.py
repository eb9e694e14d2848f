"""Named conditions: from registered columns to a request in the user's words to codes of each cell."""

from scdit.conditions._codes import RequestedCodes, resolve_codes
from scdit.conditions._columns import check_conditions, check_not_taken
from scdit.conditions._composition import Composition
from scdit.conditions._condition import Category, Condition, Number
from scdit.conditions._fields import DIGEST, condition_fields, registered_conditions
from scdit.conditions._library_sizes import (
    LibrarySize,
    describe_library_size,
    lengths_of,
    resolve_library_sizes,
    size_request,
    sizes_of_cells,
)
from scdit.conditions._requests import MAX_CELLS, Request, name_requests, resolve_n
from scdit.conditions._tables import conditions_like, name_hashes, names_of_rows

__all__ = [
    "DIGEST",
    "MAX_CELLS",
    "Category",
    "Composition",
    "Condition",
    "LibrarySize",
    "Number",
    "Request",
    "RequestedCodes",
    "check_conditions",
    "check_not_taken",
    "condition_fields",
    "conditions_like",
    "describe_library_size",
    "lengths_of",
    "name_hashes",
    "name_requests",
    "names_of_rows",
    "registered_conditions",
    "resolve_codes",
    "resolve_library_sizes",
    "resolve_n",
    "size_request",
    "sizes_of_cells",
]
