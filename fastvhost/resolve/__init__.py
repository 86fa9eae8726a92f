"""What DNS says of a host: the walk of RFC 3263, and the upstream that it asks."""
