"""The only importer of the generated client: requests out, values and errors in.

`operations` has a row for each endpoint and builds the requests, `replies` converts what comes back, `refusals` turns
a status into an error. When the API changes, the facade is edited here.
"""

from __future__ import annotations
