"""What is done to runs, crates and commands so that the page of trust can say what holds."""
