"""`gate people`: who may answer, added to gate.yaml and removed from it."""
