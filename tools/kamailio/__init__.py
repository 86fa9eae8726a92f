"""Clients of the PDB face for Kamailio's script languages: one file each, to be copied beside the script."""
