"""`fastvhost explain`: a host and why, from DNS itself or from what a running daemon believes."""
