"""The router's decisions: who receives a message in the end, and over which hop."""
