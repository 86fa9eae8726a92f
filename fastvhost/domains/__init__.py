"""The domains that are decided without DNS."""
