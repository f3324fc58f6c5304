"""The commands of `qfa-search`, one module each; imports that take time are inside."""
