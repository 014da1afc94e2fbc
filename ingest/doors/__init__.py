"""One file per form in which readings arrive; each turns a body into partitioned blocks."""
