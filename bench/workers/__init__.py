"""The same readings through three workers: ours, a plain redis-py one, and Bytewax."""
