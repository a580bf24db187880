"""The only importer of the generated client: requests out, values and errors in.

`operations` is the table of the endpoints that we use and builds requests, `replies` and `items` convert what comes
back, `refusals` turns a status into an error. When the API changes, this package is where the facade is edited.
"""

from __future__ import annotations
