"""Built-in spaces as TOML files."""
