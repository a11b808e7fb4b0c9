"""The checks of the runner's side: config.toml, its unit, and what they leave the gate."""
