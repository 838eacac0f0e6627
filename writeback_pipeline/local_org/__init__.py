"""An embedded Salesforce organisation that speaks real HTTP; imports nothing of the rest of the project."""
