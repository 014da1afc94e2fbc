"""What Tributary is measured against, and Tributary itself, each as a `Peer`."""
