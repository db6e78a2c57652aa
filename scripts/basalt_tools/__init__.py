"""What the demo, the failover measurement and the process tests share. Standard library only."""
