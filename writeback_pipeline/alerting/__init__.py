"""How people are told of incidents: by webhook and by mail."""
