"""What `tributary up` alone needs: an embedded server, and processes that end together."""
