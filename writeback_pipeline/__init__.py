"""Delivers opt-outs and mailing activity from an e-mail platform to Salesforce, as a Dagster project.

The map: `domain` holds the rules and knows nothing else; `delivery` holds the use cases over small protocols; `store`
(the platform database), `salesforce` (the gateway) and `activity` (the event files) implement them; `defs` (Dagster)
and `cli` are the two shells; `local_org` is a Salesforce organisation to run against and imports nothing of the rest.
"""
