"""The services. They share events and nothing else at run time; none imports another."""
