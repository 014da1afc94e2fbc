"""Roles as processes: the record of a role, the HTTP server, and the tie to the parent process."""
