"""gate.yaml: loading, checking, its schema, and the checks of the host around it."""
