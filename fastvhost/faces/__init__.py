"""What clients see: the datagram loop, and a face for each protocol."""
