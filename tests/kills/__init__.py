"""Commands that are killed, or that lack room or rights: nothing half done has a name."""
