"""Commands that are killed, or that lack room, rights or memory: nothing half done has a name."""
