"""From a target to a front; refining is evolution and measuring in turn."""
