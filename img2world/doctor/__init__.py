"""What is wrong, and what to do about it: with this machine, and with what was made on it."""
