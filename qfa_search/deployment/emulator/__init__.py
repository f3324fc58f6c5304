"""A generated C file on an emulated Cortex-M4: its results, instructions, flash and RAM."""
