"""Work: time, ids, tasks and leases, as the operating system and the database give them."""
