"""Work that is slow, may be repeated, and is never done per reading."""
