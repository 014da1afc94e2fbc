"""What is recorded and what is kept of it. Pure: no socket, no clock, no Redis."""
