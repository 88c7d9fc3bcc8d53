"""Campaign on a bank: transactions over three models, written and followed by processes that are killed."""
