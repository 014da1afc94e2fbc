"""Tributary and the servers it is compared with, each as a `Peer`."""
