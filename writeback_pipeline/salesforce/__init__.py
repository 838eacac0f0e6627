"""The gateway to a Salesforce organisation over simple-salesforce."""
