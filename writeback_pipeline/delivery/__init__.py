"""Use cases over small protocols declared beside them: what is owed becomes Salesforce writes and outcomes."""
