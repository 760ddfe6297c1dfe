"""The checks of mail from strangers: each a step of its own behind one small port."""
