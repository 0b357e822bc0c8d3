"""What every layer uses: errors, plug-in registry, random streams, validation, parameters."""
