"""What the loop remembers: predictions, their labels, and the ledger of every decision."""
