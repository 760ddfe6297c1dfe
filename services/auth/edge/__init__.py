"""HTTP: the REST API for administrators, and the questions of other services."""
