"""Jobs and what schedules them."""
