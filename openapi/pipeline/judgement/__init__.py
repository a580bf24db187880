"""Say what a new document does to the facade: what that uses, what changed of it, and what to edit."""
