"""Access control: tokens, browser and CORS checks, rates, and the count of refusals."""
