"""How the champion fares in service: drift, performance, and who is told."""
