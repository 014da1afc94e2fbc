"""The embedded server and the supervisor, for `tributary up`."""
