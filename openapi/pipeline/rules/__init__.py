"""Take out of a document what the generator trips over, one kind of trap a module; `normalise` has their order."""
