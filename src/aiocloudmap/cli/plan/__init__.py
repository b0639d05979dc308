"""What a fleet of processes asks of AWS: how often, for how much money, and how it starts. Arithmetic, no I/O."""
