"""The load harness: Postroom beside Postfix, on one machine, in one run."""
