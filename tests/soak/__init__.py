"""What happens to chats under faults, load and attack, with figures: `make soak`."""
