"""Three workers for the same readings: Tributary's aggregator, plain redis-py, and Bytewax."""
