"""What an incident is: categories, code tables, levels, errors. Imports nothing of ours."""
