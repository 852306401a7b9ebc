"""The steps from an empty database to this version, in order; each is one file under `versions/`."""
