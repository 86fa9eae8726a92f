"""`fastvhost domains …`: what the operator sees and changes of the known domains."""
