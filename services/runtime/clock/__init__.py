"""When timers fire: due, not ahead of unread inputs, and not because a clock jumped."""
