"""What RAC means by some answers."""

from schemathesis.specs.openapi import checks

# A private app does not exist for whoever shows nothing: that is 404, and as much of a refusal as
# 401 is.
checks.AUTH_REJECTION_STATUSES = frozenset({401, 403, 404})
