"""Who may read and write what: one small world, asked by every kind of actor."""
