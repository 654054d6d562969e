"""From groups with schedules to loops over tiles."""
