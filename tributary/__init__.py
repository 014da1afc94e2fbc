"""What the roles of Tributary share, one package per concern; see tests/house/test_layers.py."""

__version__ = "0.2.0"
