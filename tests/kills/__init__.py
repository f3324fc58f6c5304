"""Commands that are killed, and many writers of one store: nothing half done has a name."""
