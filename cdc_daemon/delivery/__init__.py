"""From folded transactions to durable, searchable documents: batches, senders, refreshes."""
