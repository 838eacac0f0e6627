"""An embedded Salesforce organisation that speaks real HTTP; it imports nothing of the rest of the project."""
