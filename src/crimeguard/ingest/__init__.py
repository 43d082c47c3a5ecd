"""From raw police data to immutable snapshots."""
