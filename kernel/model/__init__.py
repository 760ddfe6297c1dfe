"""Pure nouns: addresses, envelopes, replies, events, questions. Standard library only."""
