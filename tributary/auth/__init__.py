"""Who may do what: tokens, pages of other hosts, rates, and the count of refusals."""
