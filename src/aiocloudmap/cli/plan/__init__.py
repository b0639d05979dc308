"""`aiocloudmap plan`: what a fleet of processes asks of AWS, what that costs, and how the fleet starts."""
